//! The local CA's configuration.

use certctl_kernel::FieldError;
use certctl_ports::KeyAlgorithm;
use serde_json::Value;

/// Stored type text of the local CA.
pub const LOCAL_CA_KIND: &str = "GenericCA";

/// The configuration of a local CA issuer, with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCaConfig {
    /// Common name of a root that we make.
    pub ca_common_name: String,
    /// Default lifetime of leaves.
    pub validity_days: u32,
    /// An operator's CA certificate and key; without it we make a root.
    pub files: Option<CaFiles>,
    /// Where the CRL is published; overrides the derived address.
    pub crl_urls: Vec<String>,
    /// Where OCSP is answered; overrides the derived address.
    pub ocsp_urls: Vec<String>,
    /// Where the CA certificate is published; overrides the derived address.
    pub ca_issuer_urls: Vec<String>,
    /// Key of a root that we make.
    pub root_key: KeyAlgorithm,
    /// Lifetime of a root that we make.
    pub root_validity_days: u32,
    /// Path length of a root that we make.
    pub root_path_len: Option<u8>,
}

/// Paths of an operator's CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFiles {
    /// PEM certificate, CA first; certificates above it may follow.
    pub certificate: String,
    /// Path of a PEM private key, or the RFC 7512 reference of one on a token.
    pub key: String,
}

impl CaFiles {
    /// Whether the key is on a token.
    pub fn on_token(&self) -> bool {
        self.key.starts_with("pkcs11:")
    }
}

impl LocalCaConfig {
    /// Reads a stored or submitted configuration; every broken rule is reported, with fields named `config.…`.
    pub fn parse(config: &Value) -> Result<Self, Vec<FieldError>> {
        let mut reader = Reader { config, errors: Vec::new() };
        let certificate = reader.text("ca_cert_path");
        let key = match (reader.text("ca_key_path"), reader.text("ca_key_ref")) {
            (Some(_), Some(_)) => {
                reader.fail("ca_key_ref", "conflicting", "the key is in a file or on a token, not both")
            }
            (None, Some(reference)) if !reference.starts_with("pkcs11:") => reader.fail(
                "ca_key_ref",
                "invalid",
                "must be the reference of a key on a token, such as pkcs11:token=ca;object=ca",
            ),
            (path, reference) => path.or(reference),
        };
        let files = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(CaFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) if !reader.errors.is_empty() => None,
            (Some(_), None) => reader.fail("ca_key_path", "required", "must be set together with ca_cert_path"),
            (None, Some(_)) => reader.fail("ca_cert_path", "required", "must be set together with ca_key_path"),
        };
        let root_key = match reader.text("key_algorithm").as_deref() {
            None | Some("ECDSA-P384") => KeyAlgorithm::EcdsaP384,
            Some("ECDSA-P256") => KeyAlgorithm::EcdsaP256,
            Some(_) => {
                reader.fail::<()>("key_algorithm", "unknown_value", "must be ECDSA-P256 or ECDSA-P384");
                KeyAlgorithm::EcdsaP384
            }
        };
        let ca_common_name = reader.text("ca_common_name").unwrap_or_else(|| "CertCtl Local CA".to_owned());
        if ca_common_name.chars().count() > 64 || ca_common_name.chars().any(char::is_control) {
            reader.fail::<()>("ca_common_name", "too_long", "must be at most 64 characters without control characters");
        }
        let out = Self {
            ca_common_name,
            validity_days: reader.days("validity_days", 90, 3650),
            files,
            crl_urls: reader.urls("crl_distribution_point_urls"),
            ocsp_urls: reader.urls("ocsp_urls"),
            ca_issuer_urls: reader.urls("aia_ca_issuer_urls"),
            root_key,
            root_validity_days: reader.days("root_validity_days", 3650, 36_500),
            root_path_len: reader.number("root_path_len", 0, 10).and_then(|n| u8::try_from(n).ok()),
        };
        if reader.errors.is_empty() { Ok(out) } else { Err(reader.errors) }
    }
}

struct Reader<'a> {
    config: &'a Value,
    errors: Vec<FieldError>,
}

impl Reader<'_> {
    fn fail<T>(&mut self, member: &str, code: &str, message: impl Into<String>) -> Option<T> {
        self.errors.push(FieldError::new(format!("config.{member}"), code, message));
        None
    }

    fn text(&mut self, member: &str) -> Option<String> {
        match self.config.get(member) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => self.fail(member, "wrong_type", "must be a string"),
        }
    }

    fn number(&mut self, member: &str, least: u64, most: u64) -> Option<u64> {
        match self.config.get(member) {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_u64() {
                Some(number) if (least..=most).contains(&number) => Some(number),
                _ => self.fail(member, "out_of_range", format!("must be a whole number from {least} to {most}")),
            },
        }
    }

    /// 0 and absence mean the default.
    fn days(&mut self, member: &str, default: u32, most: u32) -> u32 {
        match self.number(member, 0, u64::from(most)) {
            None | Some(0) => default,
            Some(days) => u32::try_from(days).unwrap_or(default),
        }
    }

    fn urls(&mut self, member: &str) -> Vec<String> {
        let Some(value) = self.config.get(member).filter(|value| !value.is_null()) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.fail::<()>(member, "wrong_type", "must be a list of URLs");
            return Vec::new();
        };
        let mut out = Vec::new();
        for entry in list {
            match entry.as_str() {
                Some(url) if is_http_url(url) => out.push(url.to_owned()),
                _ => {
                    self.fail::<()>(member, "invalid", "each must be an http or https URL");
                }
            }
        }
        out
    }
}

fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Where status objects of an issuer are found, as certificates state it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusUrls {
    /// CRL distribution points.
    pub crl: Vec<String>,
    /// OCSP responders.
    pub ocsp: Vec<String>,
    /// The CA certificate.
    pub ca_issuers: Vec<String>,
}

impl StatusUrls {
    /// The configured addresses, else those derived from the installation's public address. CRL and certificate are
    /// those of one CA, whatever CA of the issuer comes after it; OCSP tells the CAs apart by what is asked.
    pub fn of(config: &LocalCaConfig, issuer_id: &str, ca_id: &str, pki_base_url: Option<&str>) -> Self {
        let pick = |configured: &Vec<String>, path: String| match pki_base_url {
            Some(base) if configured.is_empty() => {
                vec![format!("{}/.well-known/pki/{path}", base.trim_end_matches('/'))]
            }
            _ => configured.clone(),
        };
        Self {
            crl: pick(&config.crl_urls, format!("crl/{issuer_id}/{ca_id}")),
            ocsp: pick(&config.ocsp_urls, format!("ocsp/{issuer_id}")),
            ca_issuers: pick(&config.ca_issuer_urls, format!("ca/{issuer_id}/{ca_id}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_configuration_means_a_root_of_our_own() {
        let config = LocalCaConfig::parse(&json!({})).expect("defaults");
        assert_eq!((config.validity_days, config.root_key, &config.files), (90, KeyAlgorithm::EcdsaP384, &None));
        assert_eq!(LocalCaConfig::parse(&json!({"validity_days": 0})).expect("0 is unset").validity_days, 90);
    }

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let errors = LocalCaConfig::parse(&json!({
            "ca_cert_path": "/x", "validity_days": -1, "key_algorithm": "DSA", "ocsp_urls": ["ftp://x"],
        }))
        .expect_err("four rules are broken");
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        for field in ["config.ca_key_path", "config.validity_days", "config.key_algorithm", "config.ocsp_urls"] {
            assert!(fields.contains(&field), "{field} in {fields:?}");
        }
    }

    #[test]
    fn a_key_is_in_a_file_or_on_a_token() {
        let parse = |members: serde_json::Value| LocalCaConfig::parse(&members);
        let token = parse(json!({"ca_cert_path": "/ca.pem", "ca_key_ref": "pkcs11:object=ca"})).expect("fine");
        assert!(token.files.expect("files").on_token());
        let file = parse(json!({"ca_cert_path": "/ca.pem", "ca_key_path": "/ca.key"})).expect("fine");
        assert!(!file.files.expect("files").on_token());
        for bad in [
            json!({"ca_cert_path": "/ca.pem", "ca_key_path": "/ca.key", "ca_key_ref": "pkcs11:object=ca"}),
            json!({"ca_cert_path": "/ca.pem", "ca_key_ref": "/ca.key"}),
        ] {
            let errors = parse(bad).expect_err("refused");
            assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["config.ca_key_ref"]);
        }
    }

    #[test]
    fn addresses_come_from_the_issuer_else_from_the_installation() {
        let config =
            LocalCaConfig::parse(&json!({"crl_distribution_point_urls": ["http://crl.example/a"]})).expect("ok");
        let urls = StatusUrls::of(&config, "iss-local", "ica-1", Some("http://pki.example/"));
        assert_eq!(urls.ca_issuers, ["http://pki.example/.well-known/pki/ca/iss-local/ica-1"]);
        assert_eq!(urls.crl, ["http://crl.example/a"]);
        assert_eq!(urls.ocsp, ["http://pki.example/.well-known/pki/ocsp/iss-local"]);
        assert_eq!(StatusUrls::of(&config, "iss-local", "ica-1", None).ca_issuers, Vec::<String>::new());
    }
}
