//! `POST /api/v1/auth/sessions/signing-keys/rotate`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_session::Rotation;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why the key is rotated.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RotateInput {
    /// The old key, and those before it, leaked: they verify nothing from now on, and their sessions end.
    #[serde(default)]
    compromised: bool,
}

/// What a rotation did.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotationBody {
    /// The key that signs from now on.
    new_key_id: String,
    /// The key that does not any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retired_key_id: Option<String>,
    /// Sessions that ended with it; none unless it leaked.
    ended_sessions: u64,
}

impl From<Rotation> for RotationBody {
    fn from(done: Rotation) -> Self {
        Self { new_key_id: done.new_key_id, retired_key_id: done.retired_key_id, ended_sessions: done.ended_sessions }
    }
}

/// Lets a new key sign session cookies. Sessions under the old one stay good, unless it leaked.
#[utoipa::path(
    post, path = "/api/v1/auth/sessions/signing-keys/rotate", tag = "auth", request_body = RotateInput,
    responses((status = 200, body = RotationBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<RotateInput>) -> Result<HttpResponse, ApiError> {
    let context = &cx.caller()?.context;
    let sessions = cx.state().sessions()?;
    let compromised = body.value.compromised;
    cx.change(&body.digest, async |tx| {
        let done =
            certctl_session::rotate_signing_key(tx, cx.ambient(), sessions.sealer(), context, compromised).await?;
        Ok(Reply::ok(RotationBody::from(done)))
    })
    .await
}
