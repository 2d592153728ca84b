//! `GET /api/v1/approvals`

use super::ApprovalBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use actix_web::HttpResponse;
use certctl_approval::{ApprovalFilter, ApprovalKind, ApprovalState, Mine, Wanted};

/// Newest first; only requests of profiles for which the caller may read them.
#[utoipa::path(
    get, path = "/api/v1/approvals", tag = "approvals",
    params(
        ("state" = Option<String>, Query, description = "`pending`, `approved`, `rejected`, `expired` or `withdrawn`."),
        ("kind" = Option<String>, Query, description = "`cert_issuance` or `profile_edit`."),
        ("certificate_id" = Option<String>, Query, description = "Requests for this certificate."),
        ("requested_by" = Option<String>, Query, description = "Requests of this actor."),
        ("mine" = Option<String>, Query, description = "`requested` (by the caller's person) or `decidable` (by it)."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<ApprovalBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let states: Vec<_> = ApprovalState::ALL.iter().map(|state| (state.as_str(), *state)).collect();
    let kinds: Vec<_> = ApprovalKind::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    let filter = ApprovalFilter {
        state: params.choice("state", &states)?,
        kind: params.choice("kind", &kinds)?,
        certificate_id: params.text("certificate_id"),
        requested_by: params.text("requested_by"),
        ..ApprovalFilter::default()
    };
    let mine = params.choice("mine", &[("requested", Mine::Requested), ("decidable", Mine::Decidable)])?;
    let caller = cx.caller()?;
    let (list, page) = cx
        .read(async |tx| {
            let filter = certctl_approval::ask(tx, cx.ambient(), caller, Wanted { filter, mine }).await?;
            let list = params.list(&filter.fingerprint())?;
            params.finish()?;
            let page = certctl_approval::list_approvals(tx, &filter, &list).await?;
            Ok((list, page))
        })
        .await?;
    cx.list(&PageBody::new(&list, page, ApprovalBody::from))
}
