//! `POST /api/v1/auth/oidc/providers`

use super::input::Input;
use super::{ProviderBody, check, sealer};
use crate::edge::{ApiError, Cx, JsonBody, QueryParams, Reply};
use actix_web::HttpResponse;
use certctl_oidc::{check_new_provider, create_provider};

/// Makes a provider. It is asked first whether people could sign in through it.
#[utoipa::path(
    post, path = "/api/v1/auth/oidc/providers", tag = "auth", request_body = Input,
    params(("skip_check" = Option<bool>, Query, description = "Keeps the provider without asking it.")),
    responses(
        (status = 201, body = ProviderBody),
        (status = 404, body = crate::edge::ErrorBody, description = "There is no such role."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (caller, sealer, oidc) = (cx.caller()?, sealer(&cx)?, cx.state().oidc()?);
    let skip_check = params.flag("skip_check")?.unwrap_or(false);
    params.finish()?;
    let (settings, policy) = (body.value.settings(), oidc.settings.policy);
    let wanted = check_new_provider(cx.ambient(), caller, &settings, policy)?;
    check::ask(oidc, &wanted.issuer_url, &wanted.ca_bundle_pem, skip_check).await?;
    cx.change(&body.digest, async |tx| {
        let made = create_provider(tx, cx.ambient(), sealer, caller, &settings, policy).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(ProviderBody::from(made)).version(updated_at, version))
    })
    .await
}
