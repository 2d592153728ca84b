//! `POST /api/v1/auth/bootstrap`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use certctl_bootstrap::{BootstrapError, FirstAdmin};
use certctl_kernel::{ActorType, Secret, Timestamp, timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longer bodies can't hold a token and a name.
const LONGEST_BODY: usize = 4096;

/// The token that makes the first administrator. The application registers it as its data; where it is absent,
/// bootstrap is closed.
pub struct Bootstrap {
    token: Option<Secret<String>>,
}

impl Bootstrap {
    /// Works with `token`; without one it is closed.
    pub const fn new(token: Option<Secret<String>>) -> Self {
        Self { token }
    }

    pub(crate) const fn token(&self) -> Option<&Secret<String>> {
        self.token.as_ref()
    }
}

/// Who asks to become the first administrator.
#[derive(Deserialize, ToSchema)]
pub(crate) struct BootstrapInput {
    /// The one-shot token.
    token: String,
    /// Name of the administrator, such as `admin`.
    #[serde(alias = "key_name")]
    actor_name: String,
}

/// The first administrator.
#[derive(Serialize, ToSchema)]
pub(crate) struct BootstrapResult {
    actor_id: String,
    api_key_id: String,
    /// The key; shown this once.
    key_value: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    message: &'static str,
}

impl From<FirstAdmin> for BootstrapResult {
    fn from(admin: FirstAdmin) -> Self {
        Self {
            actor_id: admin.actor_id,
            api_key_id: admin.api_key_id,
            key_value: admin.key.expose().clone(),
            created_at: admin.created_at,
            message: "store the key now; it is not shown again",
        }
    }
}

fn refused(error: BootstrapError) -> ApiError {
    let message = error.to_string();
    match error {
        BootstrapError::Name => ApiError::invalid("actor_name", "invalid_name", message),
        BootstrapError::Closed => ApiError::new(StatusCode::GONE, "bootstrap_closed", message),
        BootstrapError::Token => ApiError::unauthenticated("invalid bootstrap token"),
        BootstrapError::NameTaken => ApiError::new(StatusCode::CONFLICT, "conflict", message),
        BootstrapError::Domain(error) => error.into(),
    }
}

/// Makes the first administrator with the one-shot token, while there is none.
#[utoipa::path(
    post, path = "/api/v1/auth/bootstrap", tag = "auth", request_body = BootstrapInput,
    responses(
        (status = 201, body = BootstrapResult),
        (status = 401, description = "The token is wrong.", body = crate::edge::ErrorBody),
        (status = 410, description = "No token is set, or an administrator exists.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(
    cx: Cx,
    bootstrap: Option<web::Data<Bootstrap>>,
    body: Result<JsonBody<BootstrapInput>, ApiError>,
) -> Result<HttpResponse, ApiError> {
    let context = cx.context_of("anonymous", ActorType::Anonymous);
    let state = cx.state();
    state.take(&state.limits.bootstrap, &cx.facts().address_key(), &context).await?;
    let body = body?.within(LONGEST_BODY)?;
    let token = bootstrap.as_ref().and_then(|bootstrap| bootstrap.token());
    let BootstrapInput { token: presented, actor_name } = body.value;
    let presented = Secret::new(presented);
    let mut refusal = None;
    let reply = cx
        .change(&body.digest, async |tx| {
            let made = certctl_bootstrap::consume(tx, cx.ambient(), &context, token, presented.expose(), &actor_name);
            match made.await {
                Ok(admin) => Ok(Reply::created(BootstrapResult::from(admin)).secret()),
                Err(error) => {
                    refusal = certctl_bootstrap::refusal(&context, &error);
                    Err(refused(error))
                }
            }
        })
        .await;
    if let Some(event) = refusal {
        cx.state().tell_of("bootstrap_refused", None, || event).await;
    }
    reply
}
