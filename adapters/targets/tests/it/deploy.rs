//! Deployments that go well, and deployments that must leave things as they were.

use crate::support::{Pki, Server, deploy, mode, names, request};
use certctl_kernel::Secret;
use certctl_port_target::contract::{self, Subject};
use certctl_port_target::{DeployOutcome, Material, TargetConnector};
use certctl_targets::Nginx;
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn nginx_passes_the_contract_kit_and_serves_a_chain_that_verifies() {
    let (pki, server) = (Pki::new(), Server::start());
    let (first, second) = (pki.leaf(), pki.leaf());
    let mismatched = Material { key_pem: Secret::new(first.key_pem.expose().clone()), ..second.clone() };
    let connector = Nginx::new(server.host(&second));
    contract::connector(&Subject {
        connector: &connector,
        config: server.config(),
        broken_config: (
            json!({
                "cert_path": "relative.pem",
                "reload_command": "nginx -s reload; rm -rf /",
                "key_file_mode": "0999",
                "post_deploy_verify": {"enabled": true, "endpoint": "https://x/", "sni": "x"}
            }),
            vec![
                "config.cert_path",
                "config.reload_command",
                "config.validate_command",
                "config.key_file_mode",
                "config.post_deploy_verify.endpoint",
                "config.post_deploy_verify.sni",
            ],
        ),
        first,
        second,
        mismatched,
        served: &|| server.served(),
        break_service: &|broken| server.break_other_host(broken),
    });
    server.verify_chain(&pki);
    assert_eq!(names(&server.path("tls")), ["site.key", "site.pem"], "nothing is left beside the live files");
    assert!(names(&server.path("state/deploy")).is_empty(), "no journal is left");
    let backups = names(&server.path("state/backups/target-contract"));
    assert_eq!(backups.len(), 4, "key and certificate of the two deployments that changed: {backups:?}");
    for backup in backups {
        assert_eq!(mode(&server.path("state/backups/target-contract").join(backup)), 0o600);
    }
}

#[test]
fn modes_come_from_the_target_else_from_the_file_else_from_the_connector() {
    let (pki, server) = (Pki::new(), Server::start());
    let material = pki.leaf();
    let host = server.host(&material);
    let mut config = server.config();
    config["chain_path"] = json!(server.path("tls/chain.pem"));
    std::fs::set_permissions(server.path("tls/site.key"), PermissionsExt::from_mode(0o400)).expect("chmod");
    let done = deploy(&host, &config, &material, "job-1");
    assert_eq!(done.outcome, DeployOutcome::Changed, "{:?}", done.steps);
    assert_eq!(mode(&server.path("tls/site.key")), 0o400, "the file's own");
    assert_eq!(mode(&server.path("tls/chain.pem")), 0o644, "the connector's default");
    config["key_file_mode"] = json!("0600");
    config["chain_file_mode"] = json!(0o640);
    let done = deploy(&host, &config, &material, "job-2");
    assert_eq!(done.outcome, DeployOutcome::Changed, "an asked-for mode is a change: {:?}", done.steps);
    assert_eq!((mode(&server.path("tls/site.key")), mode(&server.path("tls/chain.pem"))), (0o600, 0o640));

    let _ = (std::fs::remove_file(server.path("tls/site.key")), std::fs::remove_file(server.path("tls/site.pem")));
    config.as_object_mut().expect("an object").remove("key_file_mode");
    let done = deploy(&host, &config, &material, "job-3");
    assert_eq!(done.outcome, DeployOutcome::Changed, "{:?}", done.steps);
    assert_eq!((mode(&server.path("tls/site.key")), mode(&server.path("tls/site.pem"))), (0o640, 0o644));
}

#[test]
fn a_reload_that_fails_brings_the_old_files_back() {
    let (pki, server) = (Pki::new(), Server::start());
    let (first, second) = (pki.leaf(), pki.leaf());
    let host = server.host(&second);
    let mut config = server.config();
    assert_eq!(deploy(&host, &config, &first, "job-1").outcome, DeployOutcome::Changed);
    let files = || {
        (
            std::fs::read(server.path("tls/site.pem")).expect("cert"),
            std::fs::read(server.path("tls/site.key")).expect("key"),
        )
    };
    let before = files();
    config["reload_command"] = json!("nginx -p /nonexistent -c /nonexistent.conf -s reload");
    let failed = deploy(&host, &config, &second, "job-2");
    assert!(matches!(failed.outcome, DeployOutcome::RolledBack { .. }), "the old leaf is seen to serve: {failed:?}");
    assert_eq!(failed.served_fingerprint, Some(first.fingerprint()));
    assert_eq!((files(), server.served()), (before.clone(), Some(first.fingerprint())));

    // Without an endpoint nobody can say what the service does now.
    config.as_object_mut().expect("an object").remove("post_deploy_verify");
    let failed = deploy(&host, &config, &second, "job-3");
    assert!(matches!(failed.outcome, DeployOutcome::RollbackFailed { .. }), "{failed:?}");
    assert_eq!(files(), before, "the files are back all the same");
}

#[test]
fn a_service_that_does_not_serve_the_new_leaf_is_rolled_back() {
    let (pki, server) = (Pki::new(), Server::start());
    let (first, second) = (pki.leaf(), pki.leaf());
    let host = server.host(&second);
    let mut config = server.config();
    assert_eq!(deploy(&host, &config, &first, "job-1").outcome, DeployOutcome::Changed);
    // The command succeeds and nothing reads the files again.
    config["reload_command"] = config["validate_command"].clone();
    config["post_deploy_verify_attempts"] = json!(2);
    let failed = deploy(&host, &config, &second, "job-2");
    let DeployOutcome::RolledBack { cause } = &failed.outcome else { panic!("{failed:?}") };
    assert!(cause.contains("after 2 attempts") && cause.contains(&first.fingerprint()), "{cause}");
    assert_eq!(deploy(&host, &server.config(), &first, "job-3").outcome, DeployOutcome::Unchanged);
}

#[test]
fn a_service_behind_its_files_is_reloaded() {
    let (pki, server) = (Pki::new(), Server::start());
    let (first, second) = (pki.leaf(), pki.leaf());
    let host = server.host(&second);
    let config = server.config();
    assert_eq!(deploy(&host, &config, &first, "job-1").outcome, DeployOutcome::Changed);
    let chain: String =
        [&second.leaf, &second.chain[0]].iter().map(|der| certctl_x509::pem::encode("CERTIFICATE", der)).collect();
    std::fs::write(server.path("tls/site.pem"), chain).expect("writes");
    std::fs::write(server.path("tls/site.key"), second.key_pem.expose()).expect("writes");
    assert_eq!(server.served(), Some(first.fingerprint()));
    let done = deploy(&host, &config, &second, "job-2");
    assert_eq!(done.outcome, DeployOutcome::Changed, "{:?}", done.steps);
    assert_eq!(server.served(), Some(second.fingerprint()));
}

#[test]
fn links_are_followed_refused_or_replaced_as_the_target_says() {
    let (pki, server) = (Pki::new(), Server::start());
    let (first, second) = (pki.leaf(), pki.leaf());
    let host = server.host(&second);
    let (live, stored) = (server.path("tls/site.pem"), server.path("stored.pem"));
    std::fs::rename(&live, &stored).expect("moves");
    symlink(&stored, &live).expect("links");
    let mut config = server.config();
    config["symlink"] = json!("refuse");
    let refused = deploy(&host, &config, &first, "job-1");
    assert!(
        matches!(&refused.outcome, DeployOutcome::Refused { cause } if cause.contains("symbolic link")),
        "{refused:?}"
    );
    config["symlink"] = json!("follow");
    assert_eq!(deploy(&host, &config, &first, "job-2").outcome, DeployOutcome::Changed);
    assert!(live.is_symlink() && std::fs::read(&stored).expect("reads") == std::fs::read(&live).expect("reads"));
    config["symlink"] = json!("replace");
    assert_eq!(deploy(&host, &config, &second, "job-3").outcome, DeployOutcome::Changed);
    assert!(!live.is_symlink());
    assert_eq!(server.served(), Some(second.fingerprint()));
}

#[test]
fn places_that_are_not_for_deployments_are_refused() {
    let (pki, server) = (Pki::new(), Server::start());
    let material = pki.leaf();
    let host = server.host(&material);
    let open = server.path("open");
    std::fs::create_dir(&open).expect("makes");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("chmod");
    for (path, reason) in [
        (open.join("site.pem"), "may be written by everyone"),
        (server.path("state/site.pem"), "no deployment may write"),
        ("/etc/shadow".into(), "no deployment may write"),
        (server.path("absent/site.pem"), "can't be used"),
    ] {
        let mut config = server.config();
        config["cert_path"] = json!(path);
        let refused = deploy(&host, &config, &material, "job-1");
        assert!(matches!(&refused.outcome, DeployOutcome::Refused { cause } if cause.contains(reason)), "{refused:?}");
    }
    let mut config = server.config();
    config["reload_command"] = json!("sh -c true");
    let refused = deploy(&host, &config, &material, "job-2");
    assert!(
        matches!(&refused.outcome, DeployOutcome::Refused { cause } if cause.contains("CERTCTL_AGENT_COMMAND_ALLOW"))
    );
    assert_ne!(server.served(), Some(material.fingerprint()));
}

#[test]
fn an_older_certificate_of_the_same_issuer_needs_force() {
    let (pki, server) = (Pki::new(), Server::start());
    let older = pki.leaf();
    // Validity counts in seconds.
    let born = |material: &Material| certctl_x509::certificate::inspect(&material.leaf).expect("parses").not_before;
    let newer = loop {
        let candidate = pki.leaf();
        if born(&candidate) > born(&older) {
            break candidate;
        }
    };
    let host = server.host(&newer);
    let config = server.config();
    assert_eq!(deploy(&host, &config, &newer, "job-1").outcome, DeployOutcome::Changed);
    let refused = deploy(&host, &config, &older, "job-2");
    assert!(matches!(&refused.outcome, DeployOutcome::Refused { cause } if cause.contains("newer")), "{refused:?}");
    let mut forced = request(&config, &older, "job-3");
    forced.force = true;
    assert_eq!(Nginx::new(host).deploy(&forced).outcome, DeployOutcome::Changed);
}

#[test]
fn a_dry_run_shows_what_is_in_the_way_and_changes_nothing() {
    let (pki, server) = (Pki::new(), Server::start());
    let material = pki.leaf();
    let connector = Nginx::new(server.host(&material));
    let config = server.config();
    let before = (names(&server.path("tls")), server.served());
    let steps = connector.dry_run(&request(&config, &material, "job-1"));
    assert!(steps.iter().all(|step| step.ok), "{steps:?}");
    server.break_other_host(true);
    let steps = connector.dry_run(&request(&config, &material, "job-1"));
    let failed: Vec<_> = steps.iter().filter(|step| !step.ok).map(|step| step.step.as_str()).collect();
    assert_eq!(failed, ["validate"], "{steps:?}");
    assert_eq!((names(&server.path("tls")), server.served()), before);
}
