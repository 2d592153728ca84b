//! Redaction of details before they are stored.
//!
//! Each member belongs to a class by its name, whatever its spelling (`clientSecret`, `client_secret`, `Client-Secret`):
//! a secret, something personal, or neither. A value that is itself a private key or one of our API keys is a secret
//! under any name.

use serde_json::Value;

const CREDENTIAL: &str = "[REDACTED:CREDENTIAL]";
const PII: &str = "[REDACTED:PII]";

/// What a member may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing: it opens something.
    Secret,
    /// Nothing: it tells of a person.
    Personal,
    /// Its value, or its members by their own class.
    Public,
}

/// Names of secrets; in lower case without separators, as all below.
const SECRETS: &[&str] = &[
    "apikey",
    "secret",
    "token",
    "credential",
    "credentials",
    "keypem",
    "keyvalue",
    "eabkid",
    "acmeaccountkey",
    "hmac",
    "signature",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "setcookie",
    "pin",
    "pwd",
];
/// Endings of names of secrets: `smtp_password`, `webhookSecret`, `refresh-token`.
const SECRET_ENDINGS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretkey",
    "secretaccesskey",
    "token",
    "privatekey",
    "privatekeypem",
    "privatekeyder",
    "apikey",
    "hmackey",
    "hmacsecret",
    "credential",
    "credentials",
    "connectionstring",
];
/// Names that end like a secret and are none: they say which, not what.
const REFERENCES: &[&str] = &["hastoken", "hassecret", "haspassword", "emptypassword"];
/// Names of what tells of a person.
const PERSONAL: &[&str] = &[
    "email",
    "phone",
    "telephone",
    "ssn",
    "socialsecurity",
    "dob",
    "dateofbirth",
    "fullname",
    "firstname",
    "lastname",
    "surname",
    "displayname",
    "address",
    "street",
    "streetaddress",
    "city",
    "postalcode",
    "zip",
    "zipcode",
];
/// Endings of such names: `owner_email`, `mobile-phone`.
const PERSONAL_ENDINGS: &[&str] = &["email", "emailaddress", "phonenumber", "phone", "postaladdress"];

fn class(name: &str) -> Class {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let is = |names: &[&str]| names.contains(&plain.as_str());
    let ends = |endings: &[&str]| endings.iter().any(|ending| plain.ends_with(ending));
    if is(REFERENCES) {
        Class::Public
    } else if is(SECRETS) || ends(SECRET_ENDINGS) {
        Class::Secret
    } else if is(PERSONAL) || ends(PERSONAL_ENDINGS) {
        Class::Personal
    } else {
        Class::Public
    }
}

/// Whether a text is a secret by itself: a private key in PEM, or an API key of ours (`cctl_<id>_<secret>`).
fn opens_something(text: &str) -> bool {
    text.contains("PRIVATE KEY-----") || (text.starts_with("cctl_") && text.matches('_').count() >= 2)
}

/// Replaces the values of secret and personal members, at any depth, and lists their paths in `redacted_keys`.
///
/// Object names, certificates and source addresses stay: they are the evidence an audit trail exists for. Members that
/// hold nothing (`null`, a truth value) stay as well: whether there is a password is no secret.
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
                let mark = match class(key) {
                    _ if matches!(inner, Value::Null | Value::Bool(_)) => continue,
                    Class::Public => {
                        walk(inner, &here, hits);
                        continue;
                    }
                    Class::Secret => CREDENTIAL,
                    Class::Personal => PII,
                };
                *inner = Value::String(mark.to_owned());
                hits.push(here);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, path, hits)),
        Value::String(text) if opens_something(text) => {
            CREDENTIAL.clone_into(text);
            hits.push(path.to_owned());
        }
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

    #[test]
    fn a_class_holds_in_every_spelling_and_under_every_prefix() {
        for name in [
            "api_key",
            "apiKey",
            "API-Key",
            "client_secret",
            "clientSecret",
            "secretKey",
            "aws_secret_access_key",
            "smtpPassword",
            "bootstrap_token",
            "Authorization",
            "private_key_pem",
            "eab_kid",
            "hmac_key",
            "credentials",
            "signature",
            "bearer",
            "passphrase",
        ] {
            assert_eq!(class(name), Class::Secret, "{name}");
        }
        for name in ["email", "owner_email", "emailAddress", "phone_number", "full_name", "date_of_birth", "zip"] {
            assert_eq!(class(name), Class::Personal, "{name}");
        }
    }

    #[test]
    fn evidence_stays() {
        for name in [
            "name",
            "cert_pem",
            "ip_address",
            "expected_ip",
            "source_ip",
            "key_id",
            "key_algorithm",
            "token_id",
            "secret_ref",
            "serial",
            "permission",
            "author",
            "authority",
            "pinned",
            "spin",
            "has_password",
        ] {
            assert_eq!(class(name), Class::Public, "{name}");
        }
        let plain = json!({"empty_password": true, "password": null, "serial": "00ab"});
        assert_eq!(redact(plain.clone()), plain, "whether there is a password is no secret");
    }

    #[test]
    fn a_change_of_a_secret_shows_that_it_changed_and_neither_value() {
        let out =
            redact(json!({"changes": {"config": [{"password": "old"}, {"password": "new"}], "token": ["a", "b"]}}));
        assert!(!out.to_string().contains("old") && !out.to_string().contains("\"b\""), "{out}");
        assert_eq!(
            out["redacted_keys"],
            json!(["changes.config.password", "changes.config.password", "changes.token"])
        );
    }

    #[test]
    fn a_key_is_a_secret_under_any_name() {
        let pem = "-----BEGIN EC PRIVATE KEY-----\nMHc…\n-----END EC PRIVATE KEY-----";
        let out = redact(json!({"note": pem, "list": ["cctl_ab12_c2VjcmV0"], "subject": "CN=cctl"}));
        assert_eq!(out["note"], CREDENTIAL);
        assert_eq!(out["list"], json!([CREDENTIAL]));
        assert_eq!(out["subject"], "CN=cctl");
    }
}
