//! `PUT /api/v1/certificates/{id}`

use super::{CertificateBody, reread};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use crate::input::present;
use actix_web::HttpResponse;
use certctl_inventory::{Patch, UpdateCertificate};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A change of a certificate: an absent member stays as it is, `null` clears. Members that only the server writes, such
/// as `status`, are accepted and ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = CertificateChange)]
pub(crate) struct Input {
    /// Unique; empty means unchanged, as for every member that can't be cleared.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    common_name: Patch<String>,
    /// Alternative names as a whole.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    sans: Patch<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    environment: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    owner_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    team_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    issuer_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    renewal_policy_id: Patch<String>,
    /// Empty clears.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    certificate_profile_id: Patch<String>,
    /// Labels as a whole.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    tags: Patch<BTreeMap<String, String>>,
    /// Targets as a whole.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    target_ids: Patch<Vec<String>>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<Value>,
    #[serde(default, rename = "status")]
    #[schema(ignore)]
    _status: Option<Value>,
    #[serde(default, rename = "expires_at")]
    #[schema(ignore)]
    _expires_at: Option<Value>,
    #[serde(default, rename = "next_renewal_at")]
    #[schema(ignore)]
    _next_renewal_at: Option<Value>,
    #[serde(default, rename = "current_version_id")]
    #[schema(ignore)]
    _current_version_id: Option<Value>,
    #[serde(default, rename = "last_renewal_at")]
    #[schema(ignore)]
    _last_renewal_at: Option<Value>,
    #[serde(default, rename = "last_deployment_at")]
    #[schema(ignore)]
    _last_deployment_at: Option<Value>,
    #[serde(default, rename = "revoked_at")]
    #[schema(ignore)]
    _revoked_at: Option<Value>,
    #[serde(default, rename = "revocation_reason")]
    #[schema(ignore)]
    _revocation_reason: Option<Value>,
    #[serde(default, rename = "source")]
    #[schema(ignore)]
    _source: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Changes a certificate. Names, issuer and profile take effect at the next issuance; the state can't be written.
#[utoipa::path(
    put, path = "/api/v1/certificates/{id}", tag = "certificates", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the certificate."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = CertificateBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let input = body.value;
    let targets = match input.target_ids {
        Patch::Keep => None,
        Patch::Clear => Some(Vec::new()),
        Patch::Set(targets) => Some(targets),
    };
    let command = UpdateCertificate {
        id: id.clone(),
        expected_version,
        name: present("name", input.name)?,
        common_name: present("common_name", input.common_name)?,
        sans: input.sans,
        environment: input.environment,
        owner_id: present("owner_id", input.owner_id)?,
        team_id: present("team_id", input.team_id)?,
        issuer_id: present("issuer_id", input.issuer_id)?,
        renewal_policy_id: present("renewal_policy_id", input.renewal_policy_id)?,
        certificate_profile_id: input.certificate_profile_id,
        tags: input.tags,
        target_ids: targets.clone(),
    };
    cx.change(&body.digest, async |tx| {
        certctl_inventory::update_certificate(tx, cx.ambient(), caller, command).await?;
        if let Some(targets) = targets {
            certctl_deployment::set_targets(tx, cx.ambient(), &id, &targets).await?;
        }
        let changed = reread(tx, &id).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(CertificateBody::from(changed)).version(updated_at, version))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_refused_for_a_member_that_every_certificate_has_and_clears_the_others() {
        let input: Input = serde_json::from_str(r#"{"owner_id": null, "certificate_profile_id": null, "status": 1}"#)
            .expect("the members have the right types");
        let refused = present("owner_id", input.owner_id).expect_err("an owner is needed");
        assert_eq!((refused.errors[0].field.as_str(), refused.errors[0].code.as_str()), ("owner_id", "required"));
        assert_eq!(present("team_id", input.team_id).expect("absent members stay"), None);
        assert!(matches!(input.certificate_profile_id, Patch::Clear));
        assert!(matches!(input.target_ids, Patch::Keep));
    }
}
