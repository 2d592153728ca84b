//! Bodies of forms (`application/x-www-form-urlencoded`, URL standard section 5).

use crate::edge::{ApiError, Cx, SecretOctets};
use actix_web::http::StatusCode;
use certctl_kernel::Secret;

/// Longer forms hold no more than ours.
const LONGEST: usize = 8192;

/// The fields of a form.
pub(super) struct Form(Vec<(String, Secret<String>)>);

impl Form {
    /// Reads the body; a field is taken as it came.
    pub(super) fn read(cx: &Cx, body: Result<SecretOctets, ApiError>) -> Result<Self, ApiError> {
        let kind = cx.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if kind.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
            let why = "send the form as application/x-www-form-urlencoded";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", why));
        }
        let octets = body?.0;
        if octets.len() > LONGEST {
            let why = format!("the form exceeds {LONGEST} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", why));
        }
        let pairs = url::form_urlencoded::parse(&octets);
        Ok(Self(pairs.map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned()))).collect()))
    }

    /// A field; empty when it is not there.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.expose())
    }

    /// A field that is a secret.
    pub(super) fn secret(&self, name: &str) -> Secret<String> {
        Secret::new(self.field(name).to_owned())
    }
}
