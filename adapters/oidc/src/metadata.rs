//! The discovery document (OpenID Connect Discovery 1.0 section 3).

use crate::outbound::{Answer, Outbound};
use certctl_oidc::{Algorithm, ProviderError, strict_json};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What is used of the document. Everything else in it is ignored, so that an odd member locks nobody out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) jwks_uri: String,
    #[serde(default)]
    pub(crate) userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) end_session_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub(crate) token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// The document of an issuer, which must name exactly this issuer. Endpoints are not yet judged.
    pub(crate) async fn fetch(outbound: &Outbound, issuer: &str, ca_bundle_pem: &str) -> Result<Self, ProviderError> {
        outbound.vet("issuer_url", issuer)?;
        let place = format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'));
        let url = outbound.vet("issuer_url", &place)?;
        let answer = outbound.get_following(ca_bundle_pem, "the discovery document", &url).await?;
        let document = Self::read(&answer)?;
        if document.issuer == issuer {
            return Ok(document);
        }
        Err(ProviderError::OtherIssuer { configured: issuer.to_owned(), found: shown(&document.issuer) })
    }

    fn read(answer: &Answer) -> Result<Self, ProviderError> {
        let none = || ProviderError::Unreachable("the discovery document is not JSON".to_owned());
        let members = strict_json::object(&answer.body).map_err(|_| none())?;
        serde_json::from_value(Value::Object(members)).map_err(|error| {
            ProviderError::Unreachable(format!("the discovery document can't be used: {}", shown(&error.to_string())))
        })
    }

    /// Every place that certctl itself asks, and those that browsers are sent to, must be ones that it speaks with.
    pub(crate) fn check_endpoints(&self, outbound: &Outbound) -> Result<(), ProviderError> {
        for (name, place) in [
            ("token_endpoint", Some(&self.token_endpoint)),
            ("jwks_uri", Some(&self.jwks_uri)),
            ("userinfo_endpoint", self.userinfo_endpoint.as_ref()),
        ] {
            if let Some(place) = place {
                outbound.vet(name, place)?;
            }
        }
        for (name, place) in [
            ("authorization_endpoint", Some(&self.authorization_endpoint)),
            ("end_session_endpoint", self.end_session_endpoint.as_ref()),
        ] {
            let sound = |text: &String| Url::parse(text).is_ok_and(|url| url.scheme() == "https");
            if place.is_some_and(|place| !sound(place)) {
                return Err(ProviderError::AddressRefused(format!("{name} does not begin with https://")));
            }
        }
        Ok(())
    }

    /// Defence against a downgrade: a provider that names its algorithms must name one that is allowed.
    pub(crate) fn check_algorithms(&self) -> Result<(), ProviderError> {
        let named = &self.id_token_signing_alg_values_supported;
        if named.is_empty() || named.iter().any(|name| Algorithm::parse(name).is_some()) {
            return Ok(());
        }
        let names = shown(&named.join(", "));
        let allowed: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
        Err(ProviderError::Algorithm(format!(
            "the provider signs ID tokens with {names} only; certctl accepts {}",
            allowed.join(", ")
        )))
    }

    /// Whether the client's secret goes into the body: only where the provider names that way and not the other.
    pub(crate) fn secret_in_body(&self) -> bool {
        let names = |method| self.token_endpoint_auth_methods_supported.iter().any(|named| named == method);
        names("client_secret_post") && !names("client_secret_basic")
    }
}

/// A text of the provider's, short and without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(algorithms: &[&str], methods: &[&str]) -> Metadata {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Metadata {
            issuer: "https://idp.example".to_owned(),
            authorization_endpoint: "https://idp.example/auth".to_owned(),
            token_endpoint: "https://idp.example/token".to_owned(),
            jwks_uri: "https://idp.example/keys".to_owned(),
            userinfo_endpoint: None,
            end_session_endpoint: None,
            id_token_signing_alg_values_supported: owned(algorithms),
            token_endpoint_auth_methods_supported: owned(methods),
            authorization_response_iss_parameter_supported: false,
        }
    }

    #[test]
    fn tf_24_tf_25_a_provider_must_name_an_allowed_algorithm_or_none_at_all() {
        for weak in [&["HS256"][..], &["none"], &["HS256", "HS512", "none"], &["PS256"], &["rs256"]] {
            let refused = metadata(weak, &[]).check_algorithms();
            assert!(matches!(refused, Err(ProviderError::Algorithm(_))), "{weak:?}");
        }
        for sound in [&[][..], &["HS256", "RS256"], &["none", "EdDSA"]] {
            assert_eq!(metadata(sound, &[]).check_algorithms(), Ok(()), "{sound:?}");
        }
    }

    #[test]
    fn the_secret_goes_into_the_body_only_where_that_is_the_only_way() {
        assert!(!metadata(&[], &[]).secret_in_body());
        assert!(!metadata(&[], &["client_secret_basic", "client_secret_post"]).secret_in_body());
        assert!(metadata(&[], &["client_secret_post"]).secret_in_body());
    }
}
