//! `GET /api/v1/auth/info`

use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use certctl_oidc::Provider;
use serde::Serialize;
use utoipa::ToSchema;

/// How to sign in here.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuthInfo {
    /// `api-key`, `oidc` or `none`.
    auth_type: &'static str,
    /// Whether this client must sign in first: false with a session that is good, or where nobody must.
    required: bool,
    /// Providers that people may sign in through; left out when they can't be looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oidc_providers: Option<Vec<SignInProvider>>,
}

/// A provider that people may sign in through.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignInProvider {
    id: String,
    display_name: String,
    /// Where a browser begins.
    login_url: String,
}

impl From<Provider> for SignInProvider {
    fn from(provider: Provider) -> Self {
        let login_url = format!("/auth/oidc/login?provider={}", provider.id);
        Self { id: provider.id, display_name: provider.name, login_url }
    }
}

/// How clients sign in.
#[utoipa::path(get, path = "/api/v1/auth/info", tag = "auth", responses((status = 200, body = AuthInfo)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let auth_type = cx.state().settings.auth_type;
    let signed_in = cx.presented_session().await?.is_ok();
    let found = cx.read(async |tx| Ok(tx.usable_providers().await?)).await;
    let oidc_providers = found.ok().map(|providers| providers.into_iter().map(SignInProvider::from).collect());
    let required = auth_type != "none" && !signed_in;
    cx.object(&Reply::ok(AuthInfo { auth_type, required, oidc_providers }))
}
