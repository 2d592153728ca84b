//! `GET /api/v1/audit`

use super::AuditEventBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use actix_web::HttpResponse;
use certctl_audit::{AuditFilter, Category};
use certctl_kernel::{ActorType, Cursor, Page};
use data_encoding::HEXLOWER;
use ring::digest;

/// `pki` is an old name of the first; nothing was ever filed under the last two, which existing clients offer.
const CATEGORIES: &[(&str, Option<Category>)] = &[
    ("cert_lifecycle", Some(Category::CertLifecycle)),
    ("pki", Some(Category::CertLifecycle)),
    ("auth", Some(Category::Auth)),
    ("config", Some(Category::Config)),
    ("system", None),
    ("security", None),
];

/// Events, newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit",
    params(
        ("category" = Option<String>, Query, description = "`cert_lifecycle`, `auth` or `config`."),
        ("since" = Option<String>, Query, description = "Not before this instant (RFC 3339 or a date)."),
        ("until" = Option<String>, Query, description = "Not after this instant; later than `since`."),
        ("actor" = Option<String>, Query, description = "Id of the actor; `actor_id` is the same."),
        ("actor_id" = Option<String>, Query, description = "Id of the actor."),
        ("actor_type" = Option<String>, Query, description = "Kind of actor, such as `APIKey`."),
        ("action" = Option<String>, Query, description = "Name of the action."),
        ("resource_type" = Option<String>, Query, description = "Kind of object."),
        ("resource_id" = Option<String>, Query, description = "Id of the object."),
        ("request_id" = Option<String>, Query, description = "Id of the request."),
        ("q" = Option<String>, Query, description = "Text in the object's id, the actor's, the action or the details."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500; `limit` is the same."),
        ("limit" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<AuditEventBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let category = params.choice("category", CATEGORIES)?;
    let kinds = ActorType::ALL.map(|kind| (kind.as_str(), kind));
    let by_actor = params.text("actor");
    let filter = AuditFilter {
        category: category.flatten(),
        since: params.time("since")?,
        until: params.time("until")?,
        actor_id: params.text("actor_id").or(by_actor),
        actor_type: params.choice("actor_type", &kinds)?.map(|kind| kind.as_str().to_owned()),
        action: params.text("action"),
        resource_type: params.text("resource_type"),
        resource_id: params.text("resource_id"),
        request_id: params.text("request_id"),
        q: params.text("q"),
    };
    let hash = filter_hash(&filter);
    let list = params.list(&hash)?;
    params.finish()?;
    if filter.since.zip(filter.until).is_some_and(|(since, until)| until <= since) {
        return Err(ApiError::invalid("until", "not_after_since", "must be later than since"));
    }
    let mut page = if category == Some(None) {
        Page { rows: Vec::new(), total: 0, next: None }
    } else {
        cx.read(async |tx| Ok(tx.audit_page(&filter, &list).await?)).await?
    };
    page.next = page.next.map(|next| Cursor { filter_hash: hash, ..next });
    cx.list(&PageBody::new(&list, page, AuditEventBody::from))
}

/// Binds a cursor to the list it came from.
fn filter_hash(filter: &AuditFilter) -> String {
    let text = format!("audit {filter:?}");
    HEXLOWER.encode(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..8])
}
