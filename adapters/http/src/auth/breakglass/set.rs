//! `POST /api/v1/auth/breakglass/credentials`

use crate::edge::{ApiError, BodyDigest, Cx, Reply, SecretJson, SecretText};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_breakglass::password::SALT;
use certctl_breakglass::{HashError, Password};
use certctl_kernel::{Timestamp, timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whose password, and which.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CredentialInput {
    /// A person's id.
    actor_id: String,
    /// 12 to 256 octets.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256)]
    password: SecretText,
}

/// Whose credential was set.
#[derive(Serialize, ToSchema)]
pub(crate) struct CredentialSet {
    actor_id: String,
    /// When the credential was made; a rotation does not change it.
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Sets or rotates a person's emergency password; forgets failures, and ends the person's sessions. The caller must
/// hold all that the person may do.
#[utoipa::path(
    post, path = "/api/v1/auth/breakglass/credentials", tag = "auth", request_body = CredentialInput,
    responses(
        (status = 201, body = CredentialSet),
        (status = 404, description = "No such person, or the emergency way in is switched off.", body = crate::edge::ErrorBody),
        (status = 409, description = "The product's own principal.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: SecretJson<CredentialInput>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let CredentialInput { actor_id, password } = body.0;
    let actor_id = actor_id.trim();
    if actor_id.is_empty() {
        return Err(ApiError::invalid("actor_id", "required", "names the person"));
    }
    let password = Password::new(password.0)?;
    let salt = cx.ambient().octets::<SALT>();
    let hash = cx.state().breakglass()?.passwords.hash(password.secret(), salt).await.map_err(busy)?;
    // What an idempotency key would be tied to is a hash of the password that is far cheaper than the stored one.
    cx.change(&BodyDigest::default(), async |tx| {
        let made = certctl_breakglass::set_password(tx, cx.ambient(), caller, actor_id, &hash).await?;
        Ok(Reply::created(CredentialSet { actor_id: actor_id.to_owned(), created_at: made }))
    })
    .await
}

/// What a client is told when passwords can't be looked at for the moment.
pub(super) fn busy(error: HashError) -> ApiError {
    match error {
        HashError::Busy => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many passwords are being checked; try again")
                .retry_after(2)
        }
        HashError::Failed => ApiError::internal("a password could not be hashed"),
    }
}
