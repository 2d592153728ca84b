//! `POST /api/v1/issuers/{id}/intermediates`

use super::{CaBody, NameConstraintsBody};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_issuance::{CreateCa, create_ca};
use certctl_x509::Subject;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A distinguished name; of each member the first entry counts.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = CaSubject)]
pub(crate) struct SubjectInput {
    #[serde(default)]
    #[schema(max_length = 64)]
    common_name: Option<String>,
    #[serde(default)]
    organization: Option<Vec<String>>,
    #[serde(default)]
    organizational_unit: Option<Vec<String>>,
    /// Two upper-case letters.
    #[serde(default)]
    country: Option<Vec<String>>,
    #[serde(default)]
    locality: Option<Vec<String>>,
    #[serde(default)]
    province: Option<Vec<String>>,
}

/// A CA to make below another.
#[derive(Deserialize, ToSchema)]
#[schema(as = IntermediateCaInput)]
pub(crate) struct Input {
    /// Unique for the issuer.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// The CA above. A root comes with the issuer: made at its first use, or from `ca_cert_path` and `ca_key_path` of its
    /// configuration.
    #[serde(default)]
    parent_ca_id: Option<String>,
    #[serde(default)]
    #[schema(ignore)]
    root_cert_pem: Option<String>,
    #[serde(default)]
    #[schema(ignore)]
    key_driver_id: Option<String>,
    #[serde(default)]
    subject: SubjectInput,
    /// `ECDSA-P256` (the default) or `ECDSA-P384`.
    #[serde(default)]
    algorithm: Option<String>,
    /// Life in days; 0 or less means five years. Cut to the parent's.
    #[serde(default)]
    ttl_days: Option<i64>,
    /// How many CAs may stand below it, less than the parent's; left out, one less than that.
    #[serde(default)]
    path_len_constraint: Option<i64>,
    /// What it may and must not name, within what the parent may. Kinds of names that it does not speak of are taken over
    /// from the parent, and the parent's exclusions are added.
    #[serde(default)]
    name_constraints: Option<Vec<NameConstraintsBody>>,
    /// An OCSP address in its certificate instead of the parent's.
    #[serde(default)]
    ocsp_responder_url: Option<String>,
    /// Free labels.
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Makes a CA below another of the issuer. It signs no leaves before it is activated.
#[utoipa::path(
    post, path = "/api/v1/issuers/{id}/intermediates", tag = "pki", request_body = Input,
    params(("id" = String, Path, description = "Id of the issuer.")),
    responses(
        (status = 201, body = CaBody),
        (status = 422, body = crate::edge::ErrorBody, description = "The parent's key can't be used."),
        (status = 501, body = crate::edge::ErrorBody, description = "The issuer has no CAs of its own."),
        (status = 502, body = crate::edge::ErrorBody, description = "The issuer's configuration is not valid."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let order = order(cx.path("id")?, body.value)?;
    let backends = cx.state().backends()?;
    let (issuers, keys, sealer) = (backends.issuers.as_ref(), backends.keys.as_ref(), backends.sealer.as_ref());
    let mut issuer_id = None;
    let response = cx
        .change(&body.digest, async |tx| {
            let made = create_ca(tx, issuers, keys, sealer, cx.ambient(), caller, order).await?;
            issuer_id = Some(made.issuer_id.clone());
            Ok(Reply::created(CaBody::from(made)))
        })
        .await;
    super::forget(&cx, issuer_id.as_deref())?;
    response
}

fn order(issuer_id: String, input: Input) -> Result<CreateCa, ApiError> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    if given(input.root_cert_pem).is_some() || given(input.key_driver_id).is_some() {
        let message = "an operator's root is named by ca_cert_path and ca_key_path of the issuer's configuration";
        return Err(ApiError::invalid("root_cert_pem", "not_supported", message));
    }
    let parent = given(input.parent_ca_id).ok_or_else(|| {
        let message = "is required; the issuer's root is made at its first use, or read from its configured files";
        ApiError::invalid("parent_ca_id", "required", message)
    })?;
    let first =
        |list: Option<Vec<String>>| list.and_then(|list| list.into_iter().next()).filter(|text| !text.is_empty());
    let (mut permitted, mut excluded) = (Vec::new(), Vec::new());
    for rules in input.name_constraints.unwrap_or_default() {
        permitted.extend(rules.permitted);
        excluded.extend(rules.excluded);
    }
    Ok(CreateCa {
        issuer_id,
        parent_ca_id: parent,
        name: input.name,
        subject: Subject {
            country: first(input.subject.country),
            state: first(input.subject.province),
            locality: first(input.subject.locality),
            organization: first(input.subject.organization),
            organizational_unit: first(input.subject.organizational_unit),
            common_name: given(input.subject.common_name),
        },
        algorithm: input.algorithm,
        ttl_days: input.ttl_days.unwrap_or(0),
        path_len: input.path_len_constraint,
        permitted,
        excluded,
        ocsp_responder_url: given(input.ocsp_responder_url),
        metadata: input.metadata.unwrap_or_default(),
    })
}
