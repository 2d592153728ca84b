use super::*;
use std::collections::BTreeMap;

const NOW: i64 = 1_790_000_000;

fn sound() -> BTreeMap<String, String> {
    [
        ("CERTCTL_CONFIG_ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef"),
        ("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "fedcba9876543210fedcba9876543210"),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

fn parse(environment: &BTreeMap<String, String>) -> Result<Config, Vec<String>> {
    let raw = collect(environment, Some(std::path::Path::new("/dev/null")));
    Config::from_raw(&raw, NOW, PathBuf::from("/tmp/x"))
        .map_err(|problems| problems.into_iter().map(|problem| problem.variable).collect())
}

fn problems(changes: &[(&str, &str)]) -> Vec<String> {
    let mut environment = sound();
    for (name, value) in changes {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    parse(&environment).err().unwrap_or_default()
}

#[test]
fn the_least_configuration_is_accepted() {
    let config = parse(&sound()).expect("sound");
    assert_eq!((config.port, config.max_body_size), (8443, 1_048_576));
    assert!(config.database_url.is_none() && !config.auth_none);
}

#[test]
fn every_problem_is_reported_at_once_and_names_its_variable() {
    let found = problems(&[
        ("CERTCTL_SERVER_PORT", "70000"),
        ("CERTCTL_LOG_LEVEL", "loud"),
        ("CERTCTL_RATE_LIMIT_ENABLED", "maybe"),
        ("CERTCTL_CRL_VALIDITY", "7 days"),
        ("CERTCTL_SERVER_TLS_CERT_PATH", "/x"),
    ]);
    for name in ["SERVER_PORT", "LOG_LEVEL", "RATE_LIMIT_ENABLED", "CRL_VALIDITY", "SERVER_TLS_KEY_PATH"] {
        assert!(found.contains(&format!("CERTCTL_{name}")), "{name} in {found:?}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn what_must_fail_closed_fails() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEY", "short")], "CONFIG_ENCRYPTION_KEY"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEY", "")], "CONFIG_ENCRYPTION_KEY"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEY", "change-me-32-char-encryption-key")], "CONFIG_ENCRYPTION_KEY"),
        (&[("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "")], "AGENT_BOOTSTRAP_TOKEN"),
        (&[("CERTCTL_BOOTSTRAP_TOKEN", "short")], "BOOTSTRAP_TOKEN"),
        (&[("CERTCTL_AUTH_TYPE", "jwt")], "AUTH_TYPE"),
        (&[("CERTCTL_AUTH_TYPE", "oidc")], "AUTH_TYPE"),
        (&[("CERTCTL_AUTH_TYPE", "none"), ("CERTCTL_SERVER_HOST", "0.0.0.0")], "AUTH_TYPE"),
        (&[("CERTCTL_AUTH_SECRET", "change-me-in-production")], "AUTH_SECRET"),
        (&[("CERTCTL_CORS_ORIGINS", "*")], "CORS_ORIGINS"),
        (&[("CERTCTL_KEYGEN_MODE", "server")], "KEYGEN_MODE"),
        (&[("CERTCTL_DEMO_MODE_ACK", "true")], "DEMO_MODE_ACK_TS"),
        (&[("CERTCTL_DEMO_MODE_ACK", "true"), ("CERTCTL_DEMO_MODE_ACK_TS", "1789000000")], "DEMO_MODE_ACK_TS"),
        (&[("CERTCTL_API_KEYS_NAMED", "ci:0123456789abcdef:root")], "API_KEYS_NAMED"),
        (&[("CERTCTL_API_KEYS_NAMED", "ci:0123456789abcdef,ci:0123456789abcdef")], "API_KEYS_NAMED"),
    ];
    for (changes, name) in cases {
        let found = problems(changes);
        assert!(found.contains(&format!("CERTCTL_{name}")), "{changes:?} gave {found:?}");
    }
}

#[test]
fn two_keys_of_one_name_overlap_for_rotation() {
    let mut environment = sound();
    environment.insert("CERTCTL_API_KEYS_NAMED".into(), "ci:0123456789abcdef:admin, ci:fedcba9876543210:admin".into());
    assert_eq!(parse(&environment).expect("sound").named_keys.len(), 2);
}

#[test]
fn unknown_names_are_reported_with_the_nearest_known_one() {
    let mut environment = sound();
    environment.insert("CERTCTL_SERVER_PROT".into(), "1".into());
    let raw = collect(&environment, Some(std::path::Path::new("/dev/null")));
    assert!(raw.warnings.iter().any(|w| w.contains("CERTCTL_SERVER_PORT")), "{:?}", raw.warnings);
    environment.insert("CERTCTL_STRICT_ENV".into(), "true".into());
    assert_eq!(parse(&environment).err(), Some(vec!["CERTCTL_SERVER_PROT".to_owned()]));
}

#[test]
fn every_inherited_name_is_known() {
    let mut environment = sound();
    for name in registry::INHERITED.lines() {
        environment.entry(format!("CERTCTL_{name}")).or_default();
    }
    let raw = collect(&environment, Some(std::path::Path::new("/dev/null")));
    let unknown: Vec<_> = raw.warnings.iter().filter(|w| w.contains("is not a setting")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn secrets_are_never_shown() {
    let raw = collect(&sound(), Some(std::path::Path::new("/dev/null")));
    for format in [Format::Table, Format::Json, Format::Toml] {
        let text = show(&raw, format);
        assert!(!text.contains("0123456789abcdef"), "{text}");
    }
}

#[test]
fn durations_take_days_and_weeks_and_nothing_else() {
    assert_eq!(values::duration("1h30m"), Some(Duration::from_secs(5400)));
    assert_eq!(values::duration("2d"), Some(Duration::from_secs(172_800)));
    assert_eq!(values::duration("1w"), Some(Duration::from_secs(604_800)));
    for bad in ["", "5", "5x", "h", "1.5h", "-1s"] {
        assert_eq!(values::duration(bad), None, "{bad}");
    }
}
