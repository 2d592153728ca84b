//! Rows of the certificate list: whole, or only the members that `fields` names.

use super::CertificateBody;
use crate::edge::ApiError;
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A row of the certificate list.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum CertificateRow {
    /// Every member.
    Whole(Box<CertificateBody>),
    /// Those that were asked for.
    Sparse(Map<String, Value>),
}

impl CertificateRow {
    /// Keeps of `body` only what `fields` names; names that a certificate does not have are passed over.
    pub(crate) fn new(body: CertificateBody, fields: Option<&BTreeSet<String>>) -> Result<Self, ApiError> {
        let Some(fields) = fields else { return Ok(Self::Whole(Box::new(body))) };
        match serde_json::to_value(&body) {
            Ok(Value::Object(mut members)) => {
                members.retain(|name, _| fields.contains(name));
                Ok(Self::Sparse(members))
            }
            Ok(_) => Err(ApiError::internal("a certificate is not an object")),
            Err(error) => Err(ApiError::internal(&error.to_string())),
        }
    }
}

impl PartialSchema for CertificateRow {
    fn schema() -> RefOr<Schema> {
        let mut schema = CertificateBody::schema();
        if let RefOr::T(Schema::Object(row)) = &mut schema {
            row.required.clear();
            row.description =
                Some("A row of the certificate list; with `fields`, only the members that it names.".into());
        }
        schema
    }
}

impl ToSchema for CertificateRow {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("CertificateRow")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        CertificateBody::schemas(schemas);
    }
}
