//! NGINX: a certificate file, a key file and a reload.

mod config;
mod precheck;
mod service;

use crate::files::{self, FileSpec, Plan, TransactionError};
use crate::host::Host;
use crate::steps::Steps;
use crate::{command, preflight};
use certctl_kernel::{FieldError, Secret};
use certctl_port_target::{DeployOutcome, DeployRequest, Deployment, Step, TargetConnector, Verification};
use certctl_x509::certificate::CertificateFacts;
use certctl_x509::pem;
use config::{Config, Layout};
use serde_json::Value;
use service::Service;

pub use config::validate;

/// The type string of the wire.
pub const TYPE: &str = "NGINX";
/// Modes of files that are not there yet.
const CERT_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o640;
/// Accounts of which the first that exists owns new files.
const OWNERS: &[&str] = &["nginx", "www-data"];

/// The connector.
#[derive(Debug)]
pub struct Nginx {
    host: Host,
}

impl Nginx {
    /// A connector on this host.
    pub fn new(host: Host) -> Self {
        Self { host }
    }

    fn deployed(config: &Config) -> Option<CertificateFacts> {
        preflight::first_certificate(&std::fs::read(&config.cert_path).ok()?)
    }

    /// What the deployment would write, in the order of the renames: the key first, so that the moment in which old
    /// and new mix is the shortest, and the certificate, which completes the pair, last.
    fn plan(&self, config: &Config, request: &DeployRequest<'_>) -> Plan {
        let material = request.material;
        let file = |spec: &config::FileSettings, bytes: Vec<u8>, default_mode: u32| FileSpec {
            path: spec.path.clone(),
            bytes: Secret::new(bytes),
            mode: spec.mode,
            default_mode,
            owner: spec.owner.clone(),
            group: spec.group.clone(),
            default_owners: OWNERS,
        };
        let mut planned = Vec::new();
        if let Some(key) = &config.key {
            planned.push(file(key, material.key_pem.expose().clone().into_bytes(), KEY_MODE));
        }
        if let Some(chain) = &config.chain {
            let text: String = material.chain.iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect();
            planned.push(file(chain, text.into_bytes(), CERT_MODE));
        }
        let text = match config.layout {
            Layout::Fullchain => preflight::fullchain_pem(material),
            Layout::Leaf => pem::encode(pem::CERTIFICATE, &material.leaf),
        };
        planned.push(file(&config.cert(), text.into_bytes(), CERT_MODE));
        Plan {
            job_id: request.job_id.to_owned(),
            target_id: request.target_id.to_owned(),
            files: planned,
            symlink: config.symlink,
            backups_kept: config.backups_kept.unwrap_or(self.host.backup_retention),
            reload: config.reload_command(),
        }
    }

    /// What is known and allowed before anything changes.
    fn preflight(
        &self,
        config: &Config,
        request: &DeployRequest<'_>,
        deployed: Option<&CertificateFacts>,
    ) -> Result<CertificateFacts, String> {
        for words in [config.validate_command(), config.reload_command()] {
            command::check_allowed(&self.host, &words).map_err(|error| error.to_string())?;
        }
        let now = self.host.clock.now();
        preflight::check(request.material, &config.expected_names, deployed, now, request.force)
    }

    fn transact(
        &self,
        config: &Config,
        request: &DeployRequest<'_>,
        steps: &mut Steps,
    ) -> (DeployOutcome, Option<String>) {
        let refused = |cause: String| (DeployOutcome::Refused { cause }, None);
        let deployed = Self::deployed(config);
        let checked = steps.run(
            "preflight",
            || self.preflight(config, request, deployed.as_ref()),
            |leaf| format!("the key belongs to the leaf, valid to {}; the chain is in order", leaf.not_after),
        );
        if let Err(cause) = checked {
            return refused(cause);
        }
        let mut service = Service::new(&self.host, config, request.material, steps);
        let applied = files::apply(&self.host, &self.plan(config, request), &mut service);
        let outcome = match applied {
            Ok(applied) if applied.changed => {
                for note in applied.notes {
                    service.steps.note("write", note);
                }
                DeployOutcome::Changed
            }
            Ok(_) => match service.refresh() {
                Ok(false) => DeployOutcome::Unchanged,
                Ok(true) => DeployOutcome::Changed,
                Err(cause) => DeployOutcome::Refused { cause },
            },
            Err(TransactionError::NotStarted(cause)) => {
                let failed = service.steps.run("write", || Err::<(), _>(cause.clone()), |()| String::new());
                DeployOutcome::Refused { cause: failed.err().unwrap_or(cause) }
            }
            Err(TransactionError::Refused(cause)) => DeployOutcome::Refused { cause },
            Err(TransactionError::RolledBack(cause)) => DeployOutcome::RolledBack { cause },
            Err(TransactionError::RollbackFailed { cause, rollback_cause }) => {
                DeployOutcome::RollbackFailed { cause, rollback_cause }
            }
        };
        let served = service.served();
        (outcome, served)
    }
}

impl TargetConnector for Nginx {
    fn target_type(&self) -> &'static str {
        TYPE
    }

    fn validate_config(&self, config: &Value) -> Result<(), Vec<FieldError>> {
        validate(config)
    }

    fn endpoint_keys(&self, config: &Value) -> Vec<String> {
        let Ok(config) = Config::read(config) else { return Vec::new() };
        let files = [
            Some(&config.cert_path),
            config.key.as_ref().map(|file| &file.path),
            config.chain.as_ref().map(|file| &file.path),
        ];
        files.into_iter().flatten().map(|path| format!("file:{}", path.display())).collect()
    }

    fn dry_run(&self, request: &DeployRequest<'_>) -> Vec<Step> {
        let mut steps = Steps::default();
        let parsed = Config::read(request.config).map_err(|errors| config::describe(&errors));
        let Ok(config) = steps.run("config", || parsed, |_| "the configuration is valid".to_owned()) else {
            return steps.finish();
        };
        let deployed = Self::deployed(&config);
        // Each step stands alone, so that one run shows everything that is in the way.
        let _ = steps.run(
            "preflight",
            || self.preflight(&config, request, deployed.as_ref()),
            |leaf| format!("the key belongs to the leaf, valid to {}", leaf.not_after),
        );
        let plan = self.plan(&config, request);
        let _ = steps.run("files", || files::check(&self.host, &plan), |paths| paths.join(", "));
        let mut service = Service::new(&self.host, &config, request.material, &mut steps);
        service.rehearse();
        steps.finish()
    }

    fn deploy(&self, request: &DeployRequest<'_>) -> Deployment {
        let mut steps = Steps::default();
        let new_fingerprint = request.material.fingerprint();
        let deployment_id = format!("nginx-{}", self.host.clock.now().unix_timestamp());
        let parsed = Config::read(request.config).map_err(|errors| config::describe(&errors));
        let config = match steps.run("config", || parsed, |_| "the configuration is valid".to_owned()) {
            Ok(config) => config,
            Err(cause) => {
                return Deployment {
                    outcome: DeployOutcome::Refused { cause },
                    steps: steps.finish(),
                    old_fingerprint: None,
                    new_fingerprint,
                    deployment_id,
                    target_address: TYPE.to_owned(),
                    served_fingerprint: None,
                };
            }
        };
        let old_fingerprint = Self::deployed(&config).map(|facts| facts.fingerprint_sha256);
        let (outcome, served_fingerprint) = self.transact(&config, request, &mut steps);
        Deployment {
            outcome,
            steps: steps.finish(),
            old_fingerprint,
            new_fingerprint,
            deployment_id,
            target_address: config.cert_path.display().to_string(),
            served_fingerprint,
        }
    }

    fn verify(&self, request: &DeployRequest<'_>) -> Verification {
        let expected = request.material.fingerprint();
        let config = match Config::read(request.config) {
            Ok(config) => config,
            Err(errors) => {
                let message = config::describe(&errors);
                return Verification { valid: false, stored_fingerprint: None, served_fingerprint: None, message };
            }
        };
        let stored_fingerprint = Self::deployed(&config).map(|facts| facts.fingerprint_sha256);
        let (served_fingerprint, wire) = match &config.watch {
            None => (None, Ok("no endpoint is known".to_owned())),
            Some(watch) => match watch.look() {
                Ok(seen) if seen.fingerprint == expected => {
                    (Some(seen.fingerprint), Ok(format!("{} serves it over {}", watch.endpoint, seen.tls_version)))
                }
                Ok(seen) => (Some(seen.fingerprint), Err(format!("{} serves another certificate", watch.endpoint))),
                Err(reason) => (None, Err(reason)),
            },
        };
        let stored = stored_fingerprint.as_ref() == Some(&expected);
        let (valid, message) = match wire {
            Ok(wire) if stored => (true, format!("{} holds it; {wire}", config.cert_path.display())),
            Ok(wire) => (false, format!("{} holds another certificate; {wire}", config.cert_path.display())),
            Err(wire) => (false, wire),
        };
        Verification { valid, stored_fingerprint, served_fingerprint, message }
    }
}
