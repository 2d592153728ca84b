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
    const DEMO: (&str, &str) = ("CERTCTL_DEMO_MODE_ACK", "true");
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("CERTCTL_SERVER_PORT", "0")], "SERVER_PORT"),
        (&[("CERTCTL_SERVER_PORT", "65536")], "SERVER_PORT"),
        (&[("CERTCTL_SERVER_PORT", "https")], "SERVER_PORT"),
        (&[("CERTCTL_SERVER_TLS_CERT_PATH", "/x")], "SERVER_TLS_KEY_PATH"),
        (&[("CERTCTL_SERVER_TLS_KEY_PATH", "/x")], "SERVER_TLS_CERT_PATH"),
        (&[("CERTCTL_SERVER_TLS_SANS", "not a name")], "SERVER_TLS_SANS"),
        (&[("CERTCTL_CA_CERT_PATH", "/x")], "CA_KEY_PATH"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEY", "short")], "CONFIG_ENCRYPTION_KEY"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEY", "")], "CONFIG_ENCRYPTION_KEY"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEY", "change-me-32-char-encryption-key")], "CONFIG_ENCRYPTION_KEY"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEYS", "k1:short")], "CONFIG_ENCRYPTION_KEYS"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEYS", "toolong:0123456789abcdef0123456789abcdef")], "CONFIG_ENCRYPTION_KEYS"),
        (&[("CERTCTL_CONFIG_ENCRYPTION_KEYS", "k1:change-me-32-char-encryption-key")], "CONFIG_ENCRYPTION_KEYS"),
        (
            &[(
                "CERTCTL_CONFIG_ENCRYPTION_KEYS",
                "k1:0123456789abcdef0123456789abcdef,k1:fedcba9876543210fedcba9876543210",
            )],
            "CONFIG_ENCRYPTION_KEYS",
        ),
        (&[("CERTCTL_RATE_LIMIT_BACKEND", "redis")], "RATE_LIMIT_BACKEND"),
        (&[("CERTCTL_RATE_LIMIT_JANITOR_INTERVAL", "30s")], "RATE_LIMIT_JANITOR_INTERVAL"),
        (&[("CERTCTL_RATE_LIMIT_BUDGET", "0")], "RATE_LIMIT_BUDGET"),
        (&[("CERTCTL_RATE_LIMIT_BUDGET", "11s")], "RATE_LIMIT_BUDGET"),
        (&[("CERTCTL_RATE_LIMIT_BUCKET_TTL", "59s")], "RATE_LIMIT_BUCKET_TTL"),
        (&[("CERTCTL_DATABASE_URL", "mysql://u:hunter2@h/d")], "DATABASE_URL"),
        (&[("CERTCTL_DATABASE_URL", "localhost")], "DATABASE_URL"),
        (&[("CERTCTL_DATABASE_MAX_CONNS", "0")], "DATABASE_MAX_CONNS"),
        (&[("CERTCTL_LOG_LEVEL", "INFO")], "LOG_LEVEL"),
        (&[("CERTCTL_LOG_LEVEL", "info,debug")], "LOG_LEVEL"),
        (&[("CERTCTL_LOG_LEVEL", "certctl_http=debug")], "LOG_LEVEL"),
        (&[("CERTCTL_LOG_FORMAT", "xml")], "LOG_FORMAT"),
        (&[("CERTCTL_AUTH_TYPE", "jwt")], "AUTH_TYPE"),
        (&[("CERTCTL_SESSION_IDLE_TIMEOUT", "8h")], "SESSION_ABSOLUTE_TIMEOUT"),
        (&[("CERTCTL_SESSION_SIGNING_KEY_RETENTION", "1h")], "SESSION_SIGNING_KEY_RETENTION"),
        (&[("CERTCTL_SESSION_SAMESITE", "None")], "SESSION_SAMESITE"),
        (&[("CERTCTL_SESSION_IDLE_TIMEOUT", "soon")], "SESSION_IDLE_TIMEOUT"),
        (&[("CERTCTL_AUTH_TYPE", "open")], "AUTH_TYPE"),
        (&[("CERTCTL_AUTH_TYPE", "none"), ("CERTCTL_SERVER_HOST", "0.0.0.0")], "AUTH_TYPE"),
        (&[("CERTCTL_AUTH_TYPE", "none"), ("CERTCTL_SERVER_HOST", "::")], "AUTH_TYPE"),
        (&[("CERTCTL_AUTH_TYPE", "none"), ("CERTCTL_SERVER_HOST", "192.0.2.1")], "AUTH_TYPE"),
        (&[("CERTCTL_SERVER_HOST", "certctl.example.com")], "SERVER_HOST"),
        (&[("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "")], "AGENT_BOOTSTRAP_TOKEN"),
        (&[("CERTCTL_BOOTSTRAP_TOKEN", "short")], "BOOTSTRAP_TOKEN"),
        (&[("CERTCTL_APPROVAL_BYPASS", "true")], "APPROVAL_BYPASS"),
        (&[("CERTCTL_JOB_AWAITING_APPROVAL_TIMEOUT", "0s")], "JOB_AWAITING_APPROVAL_TIMEOUT"),
        (&[DEMO], "DEMO_MODE_ACK_TS"),
        (&[DEMO, ("CERTCTL_DEMO_MODE_ACK_TS", "today")], "DEMO_MODE_ACK_TS"),
        (&[DEMO, ("CERTCTL_DEMO_MODE_ACK_TS", "1789913599")], "DEMO_MODE_ACK_TS"),
        (&[DEMO, ("CERTCTL_DEMO_MODE_ACK_TS", "1790000061")], "DEMO_MODE_ACK_TS"),
        (&[DEMO, ("CERTCTL_DEMO_MODE_ACK_TS", "-9223372036854775808")], "DEMO_MODE_ACK_TS"),
        (&[("CERTCTL_AUTH_SECRET", "change-me-in-production")], "AUTH_SECRET"),
        (&[("CERTCTL_CORS_ORIGINS", "*")], "CORS_ORIGINS"),
        (&[("CERTCTL_CORS_ORIGINS", "https://a.example.com/")], "CORS_ORIGINS"),
        (&[("CERTCTL_KEYGEN_MODE", "server")], "KEYGEN_MODE"),
        (&[("CERTCTL_KEYGEN_MODE", "anywhere")], "KEYGEN_MODE"),
        (&[("CERTCTL_SCHEDULER_RENEWAL_CHECK_INTERVAL", "59s")], "SCHEDULER_RENEWAL_CHECK_INTERVAL"),
        (&[("CERTCTL_SCHEDULER_JOB_PROCESSOR_INTERVAL", "500ms")], "SCHEDULER_JOB_PROCESSOR_INTERVAL"),
        (&[("CERTCTL_CRL_VALIDITY", "999999w")], "CRL_VALIDITY"),
        (&[("CERTCTL_API_KEYS_NAMED", "ci")], "API_KEYS_NAMED"),
        (&[("CERTCTL_API_KEYS_NAMED", "c i:0123456789abcdef")], "API_KEYS_NAMED"),
        (&[("CERTCTL_API_KEYS_NAMED", "ci:0123456789abcdef:root")], "API_KEYS_NAMED"),
        (&[("CERTCTL_API_KEYS_NAMED", "ci:0123456789abcdef,ci:0123456789abcdef")], "API_KEYS_NAMED"),
        (&[("CERTCTL_API_KEYS_NAMED", "ci:0123456789abcdef,ci:fedcba9876543210:admin")], "API_KEYS_NAMED"),
    ];
    for (changes, name) in cases {
        let found = problems(changes);
        assert_eq!(found, [format!("CERTCTL_{name}")], "{changes:?}");
    }
}

#[test]
fn a_fresh_demo_acknowledgement_opens_what_it_names() {
    let found = problems(&[
        ("CERTCTL_DEMO_MODE_ACK", "true"),
        ("CERTCTL_DEMO_MODE_ACK_TS", "1789913600"),
        ("CERTCTL_AUTH_TYPE", "none"),
        ("CERTCTL_SERVER_HOST", "0.0.0.0"),
        ("CERTCTL_CORS_ORIGINS", "*"),
        ("CERTCTL_AGENT_BOOTSTRAP_TOKEN", ""),
        ("CERTCTL_CONFIG_ENCRYPTION_KEY", "change-me-32-char-encryption-key"),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn problems_name_the_place_and_an_example_and_never_a_secret() {
    let mut environment = sound();
    for (name, value) in [
        ("API_KEYS_NAMED", "ci:0123456789abcdef,ops:hunter2"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("BOOTSTRAP_TOKEN", "hunter2"),
        ("CONFIG_ENCRYPTION_KEYS", "k1:hunter2"),
        ("AUTH_SECRET", "change-me-in-production"),
    ] {
        environment.insert(format!("CERTCTL_{name}"), value.to_owned());
    }
    let raw = collect(&environment, Some(std::path::Path::new("/dev/null")));
    let problems = Config::from_raw(&raw, NOW, PathBuf::from("/tmp/x")).err().expect("refused");
    let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(problems.len(), 5, "{text}");
    assert!(text.contains("entry 2") && text.contains("(example: "), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn two_keys_of_one_name_overlap_for_rotation() {
    let mut environment = sound();
    environment.insert("CERTCTL_API_KEYS_NAMED".into(), "ci:0123456789abcdef:admin, ci:fedcba9876543210:admin".into());
    assert_eq!(parse(&environment).expect("sound").named_keys.len(), 2);
}

#[test]
fn unknown_names_are_reported_with_the_nearest_known_one() {
    let warning = |name: &str| {
        let mut environment = sound();
        environment.insert(name.to_owned(), "1".to_owned());
        let raw = collect(&environment, Some(std::path::Path::new("/dev/null")));
        raw.warnings.into_iter().find(|text| text.starts_with(name)).unwrap_or_default()
    };
    for (name, near) in [
        ("CERTCTL_SERVER_PROT", "CERTCTL_SERVER_PORT"),
        ("CERTCTL_AGENT_BOOTSTRAP_TOKN", "CERTCTL_AGENT_BOOTSTRAP_TOKEN"),
        ("CERTCTL_DEMO_MODE_AKC", "CERTCTL_DEMO_MODE_ACK"),
        ("CERTCTL_VAULT_ADR", "CERTCTL_VAULT_ADDR"),
        ("CERTCTL_DB_URL", "CERTCTL_DATABASE_URL"),
        ("CERTCTL_SERVER_HOST_FILE", "only secrets"),
        ("CERTCTL_VAULT_TOKEN_FILE", "has no effect"),
        ("CERTCTL_EST_PROFILE_CORP_ISSUER_ID", "has no effect"),
        ("CERTCTL_MIGRATIONS_PATH", "is not a setting"),
    ] {
        assert!(warning(name).contains(near), "{name}: {}", warning(name));
    }
    assert_eq!(warning("CERTCTL_AGENT_NAME"), "", "names of our other programs are ignored in silence");
}

#[test]
fn strictness_makes_unknown_names_an_error() {
    for truth in ["true", "1", "yes"] {
        let found = problems(&[("CERTCTL_SERVER_PROT", "1"), ("CERTCTL_STRICT_ENV", truth)]);
        assert_eq!(found, ["CERTCTL_SERVER_PROT"]);
    }
    assert!(problems(&[("CERTCTL_VAULT_ADDR", "x"), ("CERTCTL_STRICT_ENV", "true")]).is_empty());
}

#[test]
fn every_name_of_earlier_installations_is_read_or_answered_for() {
    let names: Vec<&str> = include_str!("inherited.txt").lines().collect();
    assert_eq!(names.len(), 234);
    for name in names {
        let read = registry::SETTINGS.iter().any(|setting| setting.name == name);
        let standing = known::standing(name);
        assert!(read != standing.is_some(), "{name}: read {read}, standing {standing:?}");
    }
    for (name, _) in known::all() {
        assert!(!registry::SETTINGS.iter().any(|setting| setting.name == name), "{name} is both read and not read");
    }
}

#[test]
fn every_default_and_example_passes_its_own_check() {
    for setting in registry::SETTINGS.iter().filter(|setting| setting.kind != registry::Kind::Secret) {
        // An example that is wrong sends the operator round in circles. Some need a partner, or a reason.
        let found = problems(&[(&format!("CERTCTL_{}", setting.name), setting.example)]);
        let own = format!("CERTCTL_{}", setting.name);
        assert!(!found.contains(&own) || setting.name == "DEMO_MODE_ACK_TS", "{own}: {found:?}");
    }
    assert!(!problems(&[("CERTCTL_API_KEYS_NAMED", registry::example("API_KEYS_NAMED"))]).iter().any(|_| true));
    assert!(!problems(&[("CERTCTL_DATABASE_URL", registry::example("DATABASE_URL"))]).iter().any(|_| true));
}

#[test]
fn relative_paths_lie_in_the_data_directory() {
    let mut environment = sound();
    for (name, value) in
        [("DATA_DIR", "/srv/certctl"), ("SERVER_TLS_CERT_PATH", "own/tls.crt"), ("SERVER_TLS_KEY_PATH", "/abs/tls.key")]
    {
        environment.insert(format!("CERTCTL_{name}"), value.to_owned());
    }
    let config = parse(&environment).expect("sound");
    let (cert, key) = config.tls_pair.expect("set");
    assert_eq!((cert, key), (PathBuf::from("/srv/certctl/own/tls.crt"), PathBuf::from("/abs/tls.key")));
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
fn a_shown_file_does_not_turn_masks_into_secrets() {
    let raw = collect(&sound(), Some(std::path::Path::new("/dev/null")));
    let text = show(&raw, Format::Toml);
    assert!(text.lines().filter(|line| line.contains("***")).all(|line| line.starts_with('#')), "{text}");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let again = from_file(dir.path(), &text);
    assert!(again.problems.is_empty(), "{:?}", again.problems);
}

#[test]
fn durations_take_days_and_weeks_and_nothing_unknown() {
    assert_eq!(values::duration("1h30m"), Some(Duration::from_mins(90)));
    assert_eq!(values::duration("1.5h"), Some(Duration::from_mins(90)));
    assert_eq!(values::duration("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(values::duration("2d"), Some(Duration::from_hours(48)));
    assert_eq!(values::duration("1w"), Some(Duration::from_hours(168)));
    assert_eq!(values::duration("0"), Some(Duration::ZERO));
    for bad in ["", "5", "5x", "h", "1.h", ".5h", "-1s", "1 h", "1h ", "1..5h", "99999999999999999999999999999999999h"]
    {
        assert_eq!(values::duration(bad), None, "{bad}");
    }
}

fn from_file(dir: &std::path::Path, text: &str) -> Raw {
    let path = dir.join("certctl.toml");
    std::fs::write(&path, text).expect("written");
    collect(&sound(), Some(&path))
}

#[test]
fn the_file_groups_keys_freely_and_the_environment_wins() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for text in [
        "server_port = 9443",
        "[server]\nport = 9443",
        "[server]\nserver_port = \"9443\"",
        "[web.public]\nserver_port = 9443",
    ] {
        let raw = from_file(dir.path(), text);
        assert!(raw.problems.is_empty(), "{text}: {:?}", raw.problems);
        assert_eq!(raw.values["SERVER_PORT"], ("9443".to_owned(), source::Origin::File), "{text}");
    }
    let raw = from_file(dir.path(), "[server.tls]\nsans = [\"a.example.com\", \"b.example.com\"]\n");
    assert_eq!(raw.values["SERVER_TLS_SANS"].0, "a.example.com,b.example.com");
    let path = dir.path().join("certctl.toml");
    std::fs::write(&path, "[server]\nport = 9443\n").expect("written");
    let mut environment = sound();
    environment.insert("CERTCTL_SERVER_PORT".into(), "7443".into());
    let raw = collect(&environment, Some(&path));
    assert_eq!(raw.values["SERVER_PORT"], ("7443".to_owned(), source::Origin::Environment));
}

#[test]
fn a_wrong_file_is_refused_with_its_line_and_without_its_content() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (text, part) in [
        ("\n[server]\nprot = 1\n", "line 3: server.prot"),
        ("a = 1\nbootstrap_token = \"hunter2\n", "line 2"),
        ("server_port = 1\n[server]\nport = 2\n", "a second time"),
        ("cors_origins = [\"https://a,b\"]", "line 1"),
    ] {
        let raw = from_file(dir.path(), text);
        let found: Vec<String> = raw.problems.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|problem| problem.contains(part)), "{text}: {found:?}");
        assert!(!found.iter().any(|problem| problem.contains("hunter2")), "{found:?}");
    }
    assert!(!collect(&sound(), Some(&dir.path().join("absent"))).problems.is_empty());
    let raw = from_file(dir.path(), "[vault]\naddr = \"x\"\n");
    assert!(raw.problems.is_empty() && raw.warnings.iter().any(|w| w.contains("has no effect")), "{:?}", raw.warnings);
}

#[test]
fn secrets_come_from_files_too() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").expect("written");
    let mut environment = sound();
    environment.insert("CERTCTL_BOOTSTRAP_TOKEN_FILE".into(), file.display().to_string());
    let token = parse(&environment).expect("sound").bootstrap_token.expect("read");
    assert_eq!(token.expose(), "0123456789abcdef0123456789abcdef");

    environment.insert("CERTCTL_BOOTSTRAP_TOKEN".into(), "fedcba9876543210fedcba9876543210".into());
    assert_eq!(parse(&environment).err(), Some(vec!["CERTCTL_BOOTSTRAP_TOKEN".to_owned()]), "both is an error");

    std::fs::write(&file, "\n").expect("written");
    let mut environment = sound();
    environment.remove("CERTCTL_CONFIG_ENCRYPTION_KEY");
    environment.insert("CERTCTL_CONFIG_ENCRYPTION_KEY_FILE".into(), file.display().to_string());
    assert_eq!(parse(&environment).err(), Some(vec!["CERTCTL_CONFIG_ENCRYPTION_KEY".to_owned()]), "an empty file");

    let raw = from_file(dir.path(), &format!("bootstrap_token_file = \"{}\"", file.display()));
    assert!(raw.problems.is_empty() && raw.values["BOOTSTRAP_TOKEN"].1 == source::Origin::Default);
}
