//! `POST /api/v1/profiles`

use super::KeyRuleBody;
use super::ProfileBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_profile::{CreateProfile, Patch, ProfileInput};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A profile to create.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProfileInput)]
pub(crate) struct Input {
    /// An id of your choice.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]
    id: Option<String>,
    /// Unique, up to 255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// For people.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    description: Patch<String>,
    /// Keys allowed; empty means ECDSA from 256 and RSA from 2048.
    #[serde(default)]
    #[schema(value_type = Option<Vec<KeyRuleBody>>)]
    allowed_key_algorithms: Patch<Vec<KeyRuleBody>>,
    /// Longest life; 0 means no cap.
    #[serde(default)]
    #[schema(value_type = Option<i32>, minimum = 0)]
    max_ttl_seconds: Patch<i32>,
    /// Exactly the usages of each certificate; empty means `serverAuth`.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_ekus: Patch<Vec<String>>,
    /// Regular expressions, anchored; each name must match one.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    required_san_patterns: Patch<Vec<String>>,
    /// `spiffe://<trust domain>/<path>`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    spiffe_uri_pattern: Patch<String>,
    /// Leave certificates under an hour out of revocation.
    #[serde(default)]
    allow_short_lived: Option<bool>,
    /// Add the TLS feature extension.
    #[serde(default)]
    must_staple: Option<bool>,
    /// Attributes asked of CSRs.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    required_csr_attributes: Patch<Vec<String>>,
    /// `trust_authenticated` or `challenge`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    acme_auth_mode: Patch<String>,
    /// Whether issuance needs an approval.
    #[serde(default)]
    requires_approval: Option<bool>,
    /// Whether wildcards may be issued.
    #[serde(default)]
    allow_wildcards: Option<bool>,
    /// Whether anything may be issued.
    #[serde(default)]
    enabled: Option<bool>,
    /// Owner for protocol enrolments.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    default_owner_id: Patch<String>,
    /// Team for protocol enrolments.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    default_team_id: Patch<String>,
    /// Renewal policy for protocol enrolments.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    default_policy_id: Patch<String>,
    /// Issuer for protocol enrolments.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    default_issuer_id: Patch<String>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Creates a profile.
#[utoipa::path(
    post, path = "/api/v1/profiles", tag = "profiles", request_body = Input,
    responses((status = 201, body = ProfileBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let input = body.value;
    let command = CreateProfile {
        id: input.id,
        name: input.name,
        input: ProfileInput {
            description: input.description,
            allowed_key_algorithms: super::rules(input.allowed_key_algorithms),
            max_ttl_seconds: input.max_ttl_seconds,
            allowed_ekus: input.allowed_ekus,
            required_san_patterns: input.required_san_patterns,
            spiffe_uri_pattern: input.spiffe_uri_pattern,
            allow_short_lived: input.allow_short_lived,
            must_staple: input.must_staple,
            required_csr_attributes: input.required_csr_attributes,
            acme_auth_mode: input.acme_auth_mode,
            requires_approval: input.requires_approval,
            allow_wildcards: input.allow_wildcards,
            enabled: input.enabled,
            default_owner_id: input.default_owner_id,
            default_team_id: input.default_team_id,
            default_policy_id: input.default_policy_id,
            default_issuer_id: input.default_issuer_id,
        },
    };
    cx.change(&body.digest, async |tx| {
        let made = certctl_profile::create_profile(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(ProfileBody::from(made)).version(updated_at, version))
    })
    .await
}
