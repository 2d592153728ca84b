//! `POST /api/v1/auth/oidc/providers`

use super::input::Input;
use super::{ProviderBody, sealer};
use crate::edge::{ApiError, Cx, JsonBody, QueryParams, Reply};
use actix_web::HttpResponse;
use certctl_oidc::{check_new_provider, create_provider};

/// Makes a provider.
#[utoipa::path(
    post, path = "/api/v1/auth/oidc/providers", tag = "auth", request_body = Input,
    responses((status = 201, body = ProviderBody)),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (caller, sealer) = (cx.caller()?, sealer(&cx)?);
    let _skip = params.flag("skip_check")?;
    params.finish()?;
    let (settings, policy) = (body.value.settings(), cx.state().oidc()?.settings.policy);
    check_new_provider(cx.ambient(), caller, &settings, policy)?;
    cx.change(&body.digest, async |tx| {
        let made = create_provider(tx, cx.ambient(), sealer, caller, &settings, policy).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(ProviderBody::from(made)).version(updated_at, version))
    })
    .await
}
