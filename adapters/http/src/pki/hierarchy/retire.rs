//! `POST /api/v1/intermediates/{id}/retire`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_issuance::{RetireCa, retire_ca};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far to go.
#[derive(Deserialize, ToSchema)]
#[schema(as = RetireCaInput)]
pub(crate) struct Input {
    /// For the record.
    #[serde(default)]
    note: Option<String>,
    /// Takes the last step, which can't be taken back.
    #[serde(default)]
    confirm: Option<bool>,
    /// Takes it although certificates of the CA have not expired; needs a note.
    #[serde(default)]
    force: Option<bool>,
}

/// The step was taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct CaRetirement {
    id: String,
    /// Who decided.
    decided_by: String,
    /// Whether it was the last step.
    confirmed: bool,
    /// `retiring` or `retired`.
    state: &'static str,
}

/// Takes one step towards the end of a CA: an active one signs no more, a retiring one is given up when nothing in force
/// stands below it. Both go on signing CRLs and OCSP responders for what they signed.
#[utoipa::path(
    post, path = "/api/v1/intermediates/{id}/retire", tag = "pki", request_body = Input,
    params(("id" = String, Path, description = "Id of the CA.")),
    responses((status = 200, body = CaRetirement)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let order = RetireCa {
        id: cx.path("id")?,
        confirm: body.value.confirm.unwrap_or(false),
        force: body.value.force.unwrap_or(false),
        note: body.value.note.unwrap_or_default(),
    };
    let mut issuer_id = None;
    let response = cx
        .change(&body.digest, async |tx| {
            let record = retire_ca(tx, cx.ambient(), caller, &order).await?;
            issuer_id = Some(record.issuer_id.clone());
            Ok(Reply::ok(CaRetirement {
                id: record.id,
                decided_by: caller.context.actor.id.clone(),
                confirmed: order.confirm,
                state: record.state.as_str(),
            }))
        })
        .await;
    super::forget(&cx, issuer_id.as_deref())?;
    response
}
