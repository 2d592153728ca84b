//! The contract test kit: call it from a connector's tests. It panics at the first broken promise.

use crate::{DeployOutcome, DeployRequest, Deployment, Material, TargetCatalogue, TargetConnector};
use serde_json::{Value, json};

/// A connector with a service to deploy to, prepared by the connector's test.
pub struct Subject<'a> {
    /// The connector.
    pub connector: &'a dyn TargetConnector,
    /// A configuration that fits the service.
    pub config: Value,
    /// A configuration with broken rules, and the members that must be named.
    pub broken_config: (Value, Vec<&'static str>),
    /// The first certificate; deployed to a service that holds none of the three.
    pub first: Material,
    /// Its renewal.
    pub second: Material,
    /// A leaf with a key that is not its own.
    pub mismatched: Material,
    /// Fingerprint of the leaf that the service serves now, seen without the connector's help.
    pub served: &'a dyn Fn() -> Option<String>,
    /// Makes the service refuse new material (`true`) or accept it again.
    pub break_service: &'a dyn Fn(bool),
}

fn deploy(subject: &Subject<'_>, job: &str, material: &Material) -> Deployment {
    let request = DeployRequest {
        job_id: job,
        target_id: "target-contract",
        certificate_id: "mc-contract",
        config: &subject.config,
        material,
        force: false,
    };
    let deployment = subject.connector.deploy(&request);
    assert_eq!(deployment.new_fingerprint, material.fingerprint(), "it names the leaf that was asked for");
    assert!(!deployment.steps.is_empty(), "it records its steps");
    assert!(!deployment.target_address.is_empty(), "it names the place");
    let record = format!("{deployment:?}");
    for line in material.key_pem.expose().lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
        assert!(!record.contains(line), "the record holds key material");
    }
    deployment
}

/// Checks [`TargetConnector`].
pub fn connector(subject: &Subject<'_>) {
    let connector = subject.connector;
    connector.validate_config(&subject.config).expect("the fitting configuration is valid");
    assert!(!connector.endpoint_keys(&subject.config).is_empty(), "it names what it touches");

    let mut strange = subject.config.clone();
    strange.as_object_mut().expect("configurations are objects").insert("certpath".into(), json!("/x"));
    let errors = connector.validate_config(&strange).expect_err("unknown members are refused");
    assert!(errors.iter().any(|e| e.field == "config.certpath"), "the unknown member is named: {errors:?}");
    assert!(connector.validate_config(&json!([])).is_err(), "a configuration is an object");
    let errors = connector.validate_config(&subject.broken_config.0).expect_err("broken rules are refused");
    for member in &subject.broken_config.1 {
        assert!(errors.iter().any(|e| e.field == *member), "{member} is named at once with the others: {errors:?}");
    }

    let done = deploy(subject, "job-1", &subject.first);
    assert_eq!(done.outcome, DeployOutcome::Changed, "the first deployment changes: {:?}", done.steps);
    assert_eq!((subject.served)(), Some(subject.first.fingerprint()), "the first certificate is served");
    let done = deploy(subject, "job-2", &subject.first);
    assert_eq!(done.outcome, DeployOutcome::Unchanged, "the same again changes nothing: {:?}", done.steps);

    let refused = deploy(subject, "job-3", &subject.mismatched);
    assert!(matches!(refused.outcome, DeployOutcome::Refused { .. }), "a strange key is refused: {refused:?}");
    assert_eq!((subject.served)(), Some(subject.first.fingerprint()), "and nothing changed");

    (subject.break_service)(true);
    let failed = deploy(subject, "job-4", &subject.second);
    assert!(matches!(failed.outcome, DeployOutcome::RolledBack { .. }), "a refusing service rolls back: {failed:?}");
    assert!(failed.steps.iter().any(|step| !step.ok), "the failed step is recorded");
    assert_eq!((subject.served)(), Some(subject.first.fingerprint()), "the old certificate keeps serving");
    (subject.break_service)(false);

    let done = deploy(subject, "job-5", &subject.second);
    assert_eq!(done.outcome, DeployOutcome::Changed, "the renewal changes: {:?}", done.steps);
    assert_eq!(done.old_fingerprint, Some(subject.first.fingerprint()), "it names what it replaced");
    assert_eq!((subject.served)(), Some(subject.second.fingerprint()), "the renewal is served");

    let request = DeployRequest {
        job_id: "job-5",
        target_id: "target-contract",
        certificate_id: "mc-contract",
        config: &subject.config,
        material: &subject.second,
        force: false,
    };
    let seen = connector.verify(&request);
    assert!(seen.valid, "what was deployed verifies: {seen:?}");
    assert_eq!(seen.stored_fingerprint, Some(subject.second.fingerprint()));
    let seen = connector.verify(&DeployRequest { material: &subject.first, ..request });
    assert!(!seen.valid, "another leaf does not verify: {seen:?}");
}

/// Checks [`TargetCatalogue`].
pub fn catalogue(catalogue: &dyn TargetCatalogue) {
    for name in catalogue.available() {
        assert!(crate::TARGET_TYPES.contains(name), "{name} is a type of the wire");
        let errors = catalogue.validate_config(name, &json!({})).expect_err("every type has required members");
        assert!(errors.iter().all(|e| e.field.starts_with("config")), "{name}: {errors:?}");
    }
    for name in crate::TARGET_TYPES.iter().filter(|name| !catalogue.available().contains(name)) {
        let errors = catalogue.validate_config(name, &json!({})).expect_err("a type without a connector is refused");
        assert_eq!(errors[0].field, "type");
        assert!(errors[0].message.contains(name), "{}", errors[0].message);
    }
    let errors = catalogue.validate_config("nginx", &json!({})).expect_err("type strings have an exact case");
    assert_eq!(errors[0].field, "type");
}
