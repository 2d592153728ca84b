//! JSON request bodies.

use super::ApiError;
use crate::state::AppState;
use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use certctl_kernel::Secret;
use data_encoding::HEXLOWER;
use futures_util::StreamExt as _;
use ring::digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::future::Future;
use std::pin::Pin;

/// SHA-256 of a request body, hex; ties an idempotency key to one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyDigest(pub(crate) String);

/// A decoded JSON body. An empty body decodes as `{}`, so operations whose members are all optional need none.
pub(crate) struct JsonBody<T> {
    /// The decoded value.
    pub(crate) value: T,
    /// Hash of the octets received.
    pub(crate) digest: BodyDigest,
    length: usize,
}

impl<T> JsonBody<T> {
    /// Refuses bodies that are longer than this operation can use, where that is less than the general limit.
    pub(crate) fn within(self, limit: usize) -> Result<Self, ApiError> {
        if self.length > limit { Err(too_large(limit)) } else { Ok(self) }
    }
}

/// 413 (RFC 9110 section 15.5.14).
pub(crate) fn too_large(limit: usize) -> ApiError {
    let message = format!("the request body exceeds {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// Refuses at once what says itself that it is too long.
fn check_length(request: &HttpRequest, limit: usize) -> Result<(), ApiError> {
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if told.is_some_and(|length: u64| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(too_large(limit));
    }
    Ok(())
}

impl<T: DeserializeOwned> FromRequest for JsonBody<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let state = state_of(&request)?;
            check_content_type(&request)?;
            let octets = octets_of(&request, &mut payload, state.settings.max_body_size).await?;
            let decoded = decode(&octets, state.settings.strict_json);
            // For the request log, which tells apart what was refused as well.
            let digest = decoded.as_ref().map_or_else(|_| digest_of(&octets), |body: &Self| body.digest.clone());
            request.extensions_mut().insert(digest);
            decoded
        })
    }
}

/// Takes the whole body, if it is no longer than allowed.
async fn octets_of(request: &HttpRequest, payload: &mut Payload, limit: usize) -> Result<web::BytesMut, ApiError> {
    check_length(request, limit)?;
    let mut octets = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "malformed_body", "the request body ended early"))?;
        if octets.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        octets.extend_from_slice(&chunk);
    }
    Ok(octets)
}

/// A body with a secret that people choose, as it came. Nothing is made of it for the request log or for repeated
/// requests: a plain hash of such a body would let whoever reads it guess the secret at no cost.
pub(crate) struct SecretOctets(pub(crate) web::BytesMut);

impl FromRequest for SecretOctets {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let limit = state_of(&request)?.settings.max_body_size;
            octets_of(&request, &mut payload, limit).await.map(Self)
        })
    }
}

/// The same, decoded from JSON.
pub(crate) struct SecretJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest for SecretJson<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let state = state_of(&request)?;
            check_content_type(&request)?;
            let octets = octets_of(&request, &mut payload, state.settings.max_body_size).await?;
            decode(&octets, state.settings.strict_json).map(|body: JsonBody<T>| Self(body.value))
        })
    }
}

/// A secret in a JSON body; what is of another type is not repeated in the refusal.
pub(crate) struct SecretText(pub(crate) Secret<String>);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(Secret::new(text))),
            _ => Err(serde::de::Error::custom("must be a string")),
        }
    }
}

fn state_of(request: &HttpRequest) -> Result<web::Data<AppState>, ApiError> {
    let state = request.app_data::<web::Data<AppState>>();
    state.cloned().ok_or_else(|| ApiError::internal("the application state is not configured"))
}

fn check_content_type(request: &HttpRequest) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence.is_empty() || essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "send the body as application/json",
    ))
}

fn digest_of(octets: &[u8]) -> BodyDigest {
    BodyDigest(HEXLOWER.encode(digest::digest(&digest::SHA256, octets).as_ref()))
}

fn decode<T: DeserializeOwned>(octets: &[u8], strict: bool) -> Result<JsonBody<T>, ApiError> {
    let digest = digest_of(octets);
    let text = std::str::from_utf8(octets)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", "the body is not valid UTF-8"))?;
    if text.contains("\\u0000") {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", "strings must not contain U+0000"));
    }
    let text = if text.trim().is_empty() { "{}" } else { text };
    let mut unknown = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let value = {
        let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        serde_ignored::deserialize::<_, _, T>(tracked, |path| unknown.push(path.to_string()))
    };
    let value = value.map_err(|error| {
        let path = track.path().to_string();
        if error.is_syntax() || error.is_eof() {
            return ApiError::new(
                StatusCode::BAD_REQUEST,
                "malformed_json",
                format!("the body is not valid JSON at line {}, column {}", error.line(), error.column()),
            );
        }
        let text = error.to_string();
        // serde names a missing member only in its text.
        let field = text
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next())
            .map_or_else(|| if path == "." { "body".to_owned() } else { path.clone() }, ToOwned::to_owned);
        let rule = text.split(" at line ").next().unwrap_or("has the wrong type").to_owned();
        let code = if text.starts_with("missing field") { "required" } else { "wrong_type" };
        ApiError::invalid(&field, code, rule)
    })?;
    if strict && !unknown.is_empty() {
        return Err(certctl_kernel::DomainError::Validation(
            unknown
                .into_iter()
                .map(|field| certctl_kernel::FieldError::new(field, "unknown_member", "is not a member of this object"))
                .collect(),
        )
        .into());
    }
    Ok(JsonBody { value, digest, length: octets.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Input {
        name: String,
        #[serde(default)]
        count: u32,
    }

    fn refusal(text: &str, strict: bool) -> ApiError {
        match decode::<Input>(text.as_bytes(), strict) {
            Ok(body) => panic!("accepted {} {}", body.value.name, body.value.count),
            Err(error) => error,
        }
    }

    #[test]
    fn wrong_types_and_missing_members_name_the_field() {
        assert_eq!(refusal(r#"{"name": 3}"#, false).errors[0].field, "name");
        let missing = refusal("{}", false);
        assert_eq!((missing.errors[0].field.as_str(), missing.errors[0].code.as_str()), ("name", "required"));
        assert_eq!(refusal(r#"{"name":"x","count":-1}"#, false).errors[0].field, "count");
    }

    #[test]
    fn unknown_members_are_refused_in_strict_mode_only() {
        let text = r#"{"name":"x","colour":"red"}"#;
        assert!(decode::<Input>(text.as_bytes(), false).is_ok());
        assert_eq!(refusal(text, true).errors[0].field, "colour");
    }

    #[test]
    fn broken_json_and_nul_characters_are_malformed() {
        assert_eq!(refusal("{", false).code, "malformed_json");
        assert_eq!(refusal("{\"name\":\"a\\u0000\"}", false).code, "malformed_json");
        assert_eq!(
            decode::<Input>(b"{\"name\":\"\xff\"}", false).err().map(|e| e.code.into_owned()).as_deref(),
            Some("malformed_json")
        );
    }
}
