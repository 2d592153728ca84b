//! `PUT /api/v1/profiles/{id}`

use super::KeyRuleBody;
use super::ProfileBody;
use crate::approvals::AwaitsApproval;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use crate::input::present;
use actix_web::HttpResponse;
use certctl_approval::ProfileEdit;
use certctl_profile::{Patch, ProfileInput, UpdateProfile};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A change of a profile: an absent member stays as it is, `null` clears.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProfileChange)]
pub(crate) struct Input {
    /// Unique; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
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
    #[schema(value_type = Option<i32>)]
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
    #[schema(value_type = bool, required = false)]
    allow_short_lived: Patch<bool>,
    /// Add the TLS feature extension.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    must_staple: Patch<bool>,
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
    #[schema(value_type = bool, required = false)]
    requires_approval: Patch<bool>,
    /// Whether wildcards may be issued.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    allow_wildcards: Patch<bool>,
    /// Whether anything may be issued.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    enabled: Patch<bool>,
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
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// The two successful answers.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Changed(Box<ProfileBody>),
    Pending(AwaitsApproval),
}

/// Changes a profile. One that demands approval, or is to demand it, is changed when a second person granted the change
/// (202); it is then made as a whole, unless the profile changed meanwhile (409 `stale` to who decides).
#[utoipa::path(
    put, path = "/api/v1/profiles/{id}", tag = "profiles", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the profile."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = ProfileBody),
        (status = 202, body = AwaitsApproval, description = "A second person must grant the change first."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    change(&cx, body).await
}

/// PUT leaves absent members as they are, as existing clients rely on, and so is what PATCH does.
pub(super) async fn change(cx: &Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let input = body.value;
    let command = UpdateProfile {
        id,
        expected_version,
        name: present("name", input.name)?,
        input: ProfileInput {
            description: input.description,
            allowed_key_algorithms: super::rules(input.allowed_key_algorithms),
            max_ttl_seconds: input.max_ttl_seconds,
            allowed_ekus: input.allowed_ekus,
            required_san_patterns: input.required_san_patterns,
            spiffe_uri_pattern: input.spiffe_uri_pattern,
            allow_short_lived: present("allow_short_lived", input.allow_short_lived)?,
            must_staple: present("must_staple", input.must_staple)?,
            required_csr_attributes: input.required_csr_attributes,
            acme_auth_mode: input.acme_auth_mode,
            requires_approval: present("requires_approval", input.requires_approval)?,
            allow_wildcards: present("allow_wildcards", input.allow_wildcards)?,
            enabled: present("enabled", input.enabled)?,
            default_owner_id: input.default_owner_id,
            default_team_id: input.default_team_id,
            default_policy_id: input.default_policy_id,
            default_issuer_id: input.default_issuer_id,
        },
    };
    cx.change(&body.digest, async |tx| {
        let approvals = &cx.state().settings.approvals;
        match certctl_approval::edit_profile(tx, cx.ambient(), approvals, caller, command).await? {
            ProfileEdit::Applied(changed) => {
                let (updated_at, version) = (changed.updated_at, changed.row_version);
                Ok(Reply::ok(Answer::Changed(Box::new(ProfileBody::from(*changed)))).version(updated_at, version))
            }
            ProfileEdit::Pending(request) => {
                let message = "a second person must approve this change; nothing is changed yet";
                Ok(Reply::accepted(Answer::Pending(AwaitsApproval::new(*request, message))))
            }
        }
    })
    .await
}
