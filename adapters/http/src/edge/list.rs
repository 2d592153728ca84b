//! List envelopes.

use certctl_kernel::{ListQuery, Page};
use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageBody<T> {
    /// The rows.
    pub(crate) data: Vec<T>,
    /// Rows that match the filters over all pages.
    pub(crate) total: i64,
    /// Page number from 1 (page mode).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) page: Option<u32>,
    /// Rows a page as applied (page mode).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) per_page: Option<u32>,
    /// Rows a page as applied (cursor mode).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) page_size: Option<u32>,
    /// Where the next page starts, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) next_cursor: Option<String>,
}

impl<T> PageBody<T> {
    /// Renders `page` as answer to `query`.
    pub(crate) fn new<R>(query: &ListQuery, page: Page<R>, render: impl FnMut(R) -> T) -> Self {
        let by_cursor = query.cursor.is_some();
        Self {
            data: page.rows.into_iter().map(render).collect(),
            total: page.total,
            page: (!by_cursor).then_some(query.page),
            per_page: (!by_cursor).then_some(query.per_page),
            page_size: by_cursor.then_some(query.per_page),
            next_cursor: page.next.map(|cursor| cursor.encode()),
        }
    }
}
