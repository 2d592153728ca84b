//! The agent dies in the middle of a deployment: at its next start the old certificate is whole again.

use crate::support::{Pki, Server, deploy, names};
use certctl_kernel::Secret;
use certctl_port_target::{DeployOutcome, Material};
use certctl_targets::files::{Replayed, Stage, replay};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const ORDER: &str = "CERTCTL_TEST_CRASH_ORDER";

/// Not a test by itself: the tests below start this binary again with an order, and it dies where the order says.
#[test]
fn the_process_that_dies() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Value = serde_json::from_str(&std::fs::read_to_string(order).expect("the order")).expect("JSON");
    let bytes = |name: &str| {
        let blocks = certctl_x509::pem::decode_all(order[name].as_str().expect("PEM")).expect("PEM");
        blocks.into_iter().map(|block| block.der).collect::<Vec<_>>()
    };
    let material = Material {
        leaf: bytes("leaf").remove(0),
        chain: bytes("chain"),
        key_pem: Secret::new(order["key"].as_str().expect("PEM").to_owned()),
    };
    let at = certctl_kernel::timestamp::parse(order["now"].as_str().expect("a time")).expect("a time");
    let clock = Arc::new(certctl_ports::fakes::FixedClock::new(at));
    let mut host = certctl_targets::Host::new(order["state"].as_str().expect("a path"), clock);
    let (stage, count) = (order["stage"].as_str().expect("a stage").to_owned(), AtomicU32::new(0));
    host.observer = Arc::new(move |reached: Stage, _: &Path| {
        if format!("{reached:?}") == stage && count.fetch_add(1, Ordering::Relaxed) == 0 {
            // No unwinding, no destructors: what a kill -9 leaves.
            std::process::abort();
        }
    });
    deploy(&host, &order["config"], &material, "job-crash");
    unreachable!("the order names a stage that every deployment reaches");
}

fn die_at(stage: Stage, server: &Server, material: &Material) {
    let pem = |der: &[u8]| certctl_x509::pem::encode("CERTIFICATE", der);
    let host = server.host(material);
    let order = json!({
        "stage": format!("{stage:?}"),
        "state": host.state_dir,
        "config": server.config(),
        "now": certctl_kernel::timestamp::to_rfc3339(host.clock.now()),
        "leaf": pem(&material.leaf),
        "chain": pem(&material.chain[0]),
        "key": material.key_pem.expose(),
    });
    let path = server.path("order.json");
    std::fs::write(&path, order.to_string()).expect("writes");
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "crash::the_process_that_dies", "--nocapture"])
        .env(ORDER, &path)
        .output()
        .expect("runs");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && !shown.contains("panicked"), "it dies where it should: {shown}");
}

#[test]
fn a_crash_at_any_step_before_the_service_agreed_is_undone_at_the_next_start() {
    let (pki, mut server) = (Pki::new(), Server::start());
    let (first, second) = (pki.leaf(), pki.leaf());
    let host = server.host(&second);
    assert_eq!(deploy(&host, &server.config(), &first, "job-1").outcome, DeployOutcome::Changed);
    let live = |server: &Server| {
        (
            std::fs::read(server.path("tls/site.pem")).expect("cert"),
            std::fs::read(server.path("tls/site.key")).expect("key"),
        )
    };
    let before = live(&server);
    for stage in [Stage::Journalled, Stage::BackedUp, Stage::Staged, Stage::Renamed] {
        die_at(stage, &server, &second);
        if stage == Stage::Renamed {
            let torn = live(&server);
            assert!(torn.0 == before.0 && torn.1 != before.1, "old certificate, new key: what must never stay");
        }
        let told = replay(&host).expect("replays");
        let expected =
            Replayed { job_id: "job-crash".into(), target_id: "target-1".into(), was_committed: false, failure: None };
        assert_eq!(told, [expected], "{stage:?}");
        assert!(live(&server) == before, "{stage:?}: the old pair is whole");
        assert_eq!(names(&server.path("tls")), ["site.key", "site.pem"], "{stage:?}: no staged copy stays");
        assert!(names(&server.path("state/deploy")).is_empty(), "{stage:?}");
    }
    server.restart();
    assert_eq!(server.served(), Some(first.fingerprint()), "nginx starts on the old pair");
    assert_eq!(deploy(&host, &server.config(), &second, "job-2").outcome, DeployOutcome::Changed);
    assert_eq!(server.served(), Some(second.fingerprint()));
}

#[test]
fn a_crash_after_the_service_agreed_keeps_the_new_certificate() {
    let (pki, server) = (Pki::new(), Server::start());
    let (first, second) = (pki.leaf(), pki.leaf());
    let host = server.host(&second);
    assert_eq!(deploy(&host, &server.config(), &first, "job-1").outcome, DeployOutcome::Changed);
    die_at(Stage::Committed, &server, &second);
    let told = replay(&host).expect("replays");
    assert!(told[0].was_committed && told[0].failure.is_none(), "{told:?}");
    assert_eq!(deploy(&host, &server.config(), &second, "job-2").outcome, DeployOutcome::Unchanged);
    assert_eq!(server.served(), Some(second.fingerprint()));
}

#[test]
fn a_deployment_leaves_the_journal_that_another_is_just_writing_alone() {
    let (pki, server) = (Pki::new(), Server::start());
    let material = pki.leaf();
    let host = server.host(&material);
    assert!(replay(&host).expect("replays").is_empty());
    let being_written = server.path("state/deploy/job-2.json.certctl-tmp.0000000000000000001");
    std::fs::write(&being_written, "{").expect("writes");
    assert_eq!(deploy(&host, &server.config(), &material, "job-1").outcome, DeployOutcome::Changed);
    assert!(being_written.exists(), "deployments run side by side");
    assert!(replay(&host).expect("replays").is_empty());
    assert!(!being_written.exists(), "at the next start nobody writes it any more");
}
