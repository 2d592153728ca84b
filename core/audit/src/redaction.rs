//! Redaction of details before they are stored.

use serde_json::Value;

const CREDENTIAL: &str = "[REDACTED:CREDENTIAL]";
const PII: &str = "[REDACTED:PII]";
const CREDENTIAL_KEYS: &[&str] = &[
    "api_key",
    "apikey",
    "password",
    "passphrase",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "refresh_token",
    "bootstrap_token",
    "credential",
    "credentials",
    "private_key",
    "privatekey",
    "private_key_pem",
    "key_pem",
    "cert_pem",
    "chain_pem",
    "full_pem",
    "eab_secret",
    "eab_kid",
    "acme_account_key",
    "hmac",
    "hmac_key",
    "signature",
    "auth",
    "authorization",
    "bearer",
    "secretkey",
    "key_value",
];
const PII_KEYS: &[&str] = &[
    "email",
    "email_address",
    "phone",
    "phone_number",
    "telephone",
    "ssn",
    "social_security",
    "dob",
    "date_of_birth",
    "full_name",
    "first_name",
    "last_name",
    "surname",
    "address",
    "street",
    "street_address",
    "city",
    "postal_code",
    "zip",
    "zipcode",
];

/// Replaces the values of secret and personal members, at any depth, and lists their paths in `redacted_keys`.
///
/// Object names and source addresses stay: they are the evidence an audit trail exists for.
pub fn redact(mut details: Value) -> Value {
    let mut hits = Vec::new();
    walk(&mut details, "", &mut hits);
    if let (Value::Object(map), false) = (&mut details, hits.is_empty()) {
        map.insert("redacted_keys".to_owned(), Value::Array(hits.into_iter().map(Value::String).collect()));
    }
    details
}

fn walk(value: &mut Value, path: &str, hits: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let lower = key.to_ascii_lowercase();
                if CREDENTIAL_KEYS.contains(&lower.as_str()) {
                    *inner = Value::String(CREDENTIAL.to_owned());
                    hits.push(here);
                } else if PII_KEYS.contains(&lower.as_str()) {
                    *inner = Value::String(PII.to_owned());
                    hits.push(here);
                } else {
                    walk(inner, &here, hits);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, path, hits)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_and_personal_data_go_at_any_depth_and_their_paths_stay() {
        let out = redact(json!({"a": {"Password": "x"}, "list": [{"email": "a@b.example"}], "name": "web"}));
        assert_eq!(
            out,
            json!({"a": {"Password": CREDENTIAL}, "list": [{"email": PII}], "name": "web",
                   "redacted_keys": ["a.Password", "list.email"]})
        );
    }
}
