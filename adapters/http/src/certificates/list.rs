//! `GET /api/v1/certificates`

use super::CertificateBody;
use super::row::CertificateRow;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_inventory::{CertificateFilter, CertificateSort, CertificateSortKey, CertificateStatus, sources};
use certctl_kernel::{Page, SortOrder};
use std::collections::BTreeSet;

const SORTS: &[(&str, CertificateSortKey)] = &[
    ("notAfter", CertificateSortKey::ExpiresAt),
    ("expiresAt", CertificateSortKey::ExpiresAt),
    ("createdAt", CertificateSortKey::CreatedAt),
    ("updatedAt", CertificateSortKey::UpdatedAt),
    ("commonName", CertificateSortKey::CommonName),
    ("name", CertificateSortKey::Name),
    ("status", CertificateSortKey::Status),
    ("environment", CertificateSortKey::Environment),
];

/// Certificates that the caller may read, oldest first unless `sort` says otherwise.
#[utoipa::path(
    get, path = "/api/v1/certificates", tag = "certificates",
    params(
        ("q" = Option<String>, Query, description = "Part of id, name, common name or an alternative name, two \
            characters at least."),
        ("status" = Option<String>, Query, description = "State, such as `Active`."),
        ("environment" = Option<String>, Query, description = "Environment, exactly."),
        ("owner_id" = Option<String>, Query, description = "Owner."),
        ("team_id" = Option<String>, Query, description = "Team."),
        ("issuer_id" = Option<String>, Query, description = "Issuer."),
        ("agent_id" = Option<String>, Query, description = "Agent of an attached target."),
        ("target_id" = Option<String>, Query, description = "Attached target."),
        ("profile_id" = Option<String>, Query, description = "Profile."),
        ("source" = Option<String>, Query, description = "`API`, `Agent`, `ACME`, `EST` or `SCEP`."),
        ("expires_before" = Option<String>, Query, description = "Ends strictly before (RFC 3339 or a date)."),
        ("expires_after" = Option<String>, Query, description = "Ends strictly after."),
        ("created_after" = Option<String>, Query, description = "Created strictly after."),
        ("updated_after" = Option<String>, Query, description = "Changed strictly after."),
        ("include_archived" = Option<bool>, Query, description = "`false` leaves archived ones out; default `true`."),
        ("sort" = Option<String>, Query, description = "`notAfter`, `expiresAt`, `createdAt`, `updatedAt`, \
            `commonName`, `name`, `status` or `environment`; with `-` in front, largest first."),
        ("sort_desc" = Option<bool>, Query, description = "Largest first."),
        ("fields" = Option<String>, Query, description = "Members to keep of each row, with commas between."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("page_size" = Option<u32>, Query, description = "The same as `per_page`."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<CertificateRow>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let statuses = CertificateStatus::ALL.map(|status| (status.as_str(), status));
    let known_sources = sources::ALL.map(|source| (source, source));
    let filter = CertificateFilter {
        q: search::term(&mut params)?,
        status: params.choice("status", &statuses)?,
        environment: params.text("environment"),
        owner_id: params.text("owner_id"),
        team_id: params.text("team_id"),
        issuer_id: params.text("issuer_id"),
        agent_id: params.text("agent_id"),
        target_id: params.text("target_id"),
        profile_id: params.text("profile_id"),
        source: params.choice("source", &known_sources)?.map(ToOwned::to_owned),
        expires_before: params.time("expires_before")?,
        expires_after: params.time("expires_after")?,
        created_after: params.time("created_after")?,
        updated_after: params.time("updated_after")?,
        hide_archived: params.flag("include_archived")? == Some(false),
        within: None,
    };
    let sort = sort(&mut params)?;
    let fields: Option<BTreeSet<String>> = params
        .text("fields")
        .map(|text| text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect());
    let caller = cx.caller()?;
    let filter = certctl_inventory::visible(filter, caller)?;
    let list = params.list(&filter.fingerprint(sort))?;
    params.finish()?;
    let page =
        cx.read(async |tx| Ok(certctl_inventory::list_certificates(tx, caller, filter, sort, &list).await?)).await?;
    let rows = page
        .rows
        .into_iter()
        .map(|row| CertificateRow::new(CertificateBody::from(row), fields.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    cx.list(&PageBody::new(&list, Page { rows, total: page.total, next: page.next }, std::convert::identity))
}

fn sort(params: &mut QueryParams) -> Result<CertificateSort, ApiError> {
    let downwards = params.flag("sort_desc")?.unwrap_or(false);
    let Some(text) = params.text("sort") else {
        let order = if downwards { SortOrder::Descending } else { SortOrder::Ascending };
        return Ok(CertificateSort { order, ..CertificateSort::default() });
    };
    let (name, prefixed) = text.strip_prefix('-').map_or((text.as_str(), false), |name| (name, true));
    let Some((_, key)) = SORTS.iter().find(|(spelling, _)| *spelling == name) else {
        let known: Vec<_> = SORTS.iter().map(|(spelling, _)| *spelling).collect();
        return Err(ApiError::invalid("sort", "unknown_value", format!("must be one of {}", known.join(", "))));
    };
    let order = if prefixed || downwards { SortOrder::Descending } else { SortOrder::Ascending };
    Ok(CertificateSort { key: *key, order })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::FromRequest as _;
    use actix_web::dev::Payload;
    use actix_web::test::TestRequest;

    async fn parsed(query: &str) -> Result<CertificateSort, ApiError> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let mut params = QueryParams::from_request(&request, &mut Payload::None).await?;
        sort(&mut params)
    }

    #[actix_web::test]
    async fn the_order_reads_both_spellings_and_refuses_unknown_keys() {
        let by = |key, order| CertificateSort { key, order };
        let (up, down) = (SortOrder::Ascending, SortOrder::Descending);
        assert_eq!(parsed("").await.expect("no order"), by(CertificateSortKey::CreatedAt, up));
        assert_eq!(parsed("sort=-notAfter").await.expect("a prefix"), by(CertificateSortKey::ExpiresAt, down));
        let apart = parsed("sort=commonName&sort_desc=true").await.expect("a direction apart");
        assert_eq!(apart, by(CertificateSortKey::CommonName, down));
        let refused = parsed("sort=colour").await.expect_err("not a key");
        assert_eq!((refused.errors[0].field.as_str(), refused.errors[0].code.as_str()), ("sort", "unknown_value"));
    }
}
