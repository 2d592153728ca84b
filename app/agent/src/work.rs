//! The work itself: a key and a CSR for each certificate asked for, a deployment for each certificate issued.

use crate::client::{CallError, Client};
use crate::keys::{KeyStore, KeyStoreError};
use crate::outbox::Outbox;
use certctl_kernel::IdKind;
use certctl_port_target::{DeployRequest, Deployment, Material};
use certctl_ports::KeyAlgorithm;
use certctl_targets::{Host, connector};
use certctl_x509::{San, certificate, csr, pem};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A job as the control plane hands it out.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkItem {
    /// The job.
    pub id: String,
    /// `Deployment`, `Renewal` or `Issuance`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `AwaitingCSR` wants a request; a deployment is `Running`.
    pub status: String,
    /// The certificate.
    pub certificate_id: String,
    #[serde(default)]
    common_name: Option<String>,
    #[serde(default)]
    sans: Option<Vec<String>>,
    #[serde(default)]
    key_algorithm: Option<String>,
    #[serde(default)]
    target_id: Option<String>,
    #[serde(default)]
    target_type: Option<String>,
    #[serde(default)]
    target_config: Option<Value>,
    #[serde(default)]
    fingerprint_sha256: Option<String>,
}

impl WorkItem {
    /// What the work touches: two items that share something must not run at once.
    pub fn keys(&self, host: &Host) -> BTreeSet<String> {
        let mut keys = BTreeSet::from([format!("certificate:{}", self.certificate_id)]);
        keys.extend(self.target_id.iter().map(|id| format!("target:{id}")));
        if let (Some(kind), Some(config)) = (&self.target_type, &self.target_config)
            && let Some(connector) = connector(kind, host)
        {
            keys.extend(connector.endpoint_keys(config));
        }
        keys
    }
}

/// What a worker has at hand.
pub struct Worker {
    /// The agent.
    pub agent_id: String,
    /// The control plane.
    pub client: Client,
    /// Private keys.
    pub keys: KeyStore,
    /// Reports on their way.
    pub outbox: Outbox,
    /// This host.
    pub host: Host,
    /// Whether what an endpoint serves is reported.
    pub verify_deployment: bool,
}

/// How an item ended, for the log and for `--once`.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Done.
    Done,
    /// The job failed; the control plane is told.
    Failed(String),
    /// Nothing was decided; the control plane will hand the job out again.
    Later(String),
}

impl Worker {
    fn path(&self, rest: &str) -> String {
        format!("/api/v1/agents/{}/{rest}", self.agent_id)
    }

    /// Does one item.
    pub fn handle(&self, item: &WorkItem) -> Ended {
        for (id, name) in [(&item.id, "job"), (&item.certificate_id, "certificate")] {
            if let Err(error) = IdKind::check_supplied(id) {
                return Ended::Later(format!("the {name} id {error}; the item is left alone"));
            }
        }
        let ended = if item.status == "AwaitingCSR" {
            self.request(item)
        } else if item.kind == "Deployment" {
            self.deploy(item)
        } else {
            Ended::Later(format!("this agent has no work of type {} in status {}", item.kind, item.status))
        };
        if let Err(error) = self.outbox.deliver(&self.client) {
            tracing::warn!(job_id = item.id, %error, "reports wait for the control plane");
        }
        ended
    }

    fn report(&self, job_id: &str, body: Value) {
        if let Err(reason) = self.outbox.put(&self.path(&format!("jobs/{job_id}/status")), body) {
            tracing::error!(job_id, reason, "a report can't be kept");
        }
    }

    fn fail(&self, job_id: &str, reason: String) -> Ended {
        self.report(job_id, json!({"status": "Failed", "error": reason}));
        Ended::Failed(reason)
    }

    /// Makes or finds the key, and asks for the certificate.
    fn request(&self, item: &WorkItem) -> Ended {
        let csr_pem = match self.csr(item) {
            Ok(csr_pem) => csr_pem,
            Err(reason) => return self.fail(&item.id, reason),
        };
        let body = json!({"csr_pem": csr_pem, "certificate_id": item.certificate_id, "job_id": item.id});
        match self.client.post(&self.path("csr"), &body) {
            Ok(answer) if answer.get("status").and_then(Value::as_str) == Some("csr_signed") => Ended::Done,
            Ok(_) => Ended::Later("the control plane took the request and will sign later".to_owned()),
            Err(error) if error.is_passing() => Ended::Later(error.to_string()),
            // Another answer was there first, or the job is over.
            Err(error @ (CallError::Retired | CallError::Refused { status: 404 | 409, .. })) => {
                Ended::Later(error.to_string())
            }
            Err(error) => {
                if let Err(reason) = self.keys.give_up(&item.certificate_id) {
                    tracing::warn!(%reason, "a refused key stays");
                }
                self.fail(&item.id, format!("the control plane refused the request: {error}"))
            }
        }
    }

    fn csr(&self, item: &WorkItem) -> Result<String, String> {
        let algorithm = match item.key_algorithm.as_deref() {
            None | Some("" | "ECDSA" | "ECDSA-P256") => KeyAlgorithm::EcdsaP256,
            Some("ECDSA-P384") => KeyAlgorithm::EcdsaP384,
            Some("Ed25519") => KeyAlgorithm::Ed25519,
            Some(other) => return Err(format!("this agent makes no keys of algorithm {other}")),
        };
        let sans = San::parse_list(item.sans.as_deref().unwrap_or_default())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let common_name = item.common_name.as_deref().filter(|name| !name.is_empty());
        let key = self.keys.pending(&item.certificate_id, algorithm).map_err(|error| error.to_string())?;
        csr::build(key.as_ref(), common_name, &sans).map_err(|error| error.to_string())
    }

    fn deploy(&self, item: &WorkItem) -> Ended {
        match self.client.post(&self.path(&format!("jobs/{}/status", item.id)), &json!({"status": "Running"})) {
            Ok(_) => {}
            Err(error) => return Ended::Later(format!("the job can't be begun: {error}")),
        }
        let (Some(target_id), Some(target_type), Some(config)) =
            (&item.target_id, &item.target_type, &item.target_config)
        else {
            return self.fail(&item.id, "the job names no target".to_owned());
        };
        let Some(connector) = connector(target_type, &self.host) else {
            return self.fail(&item.id, format!("this agent has no connector for target type {target_type}"));
        };
        let (material, slot) = match self.material(item) {
            Ok(found) => found,
            Err(Problem::Later(reason)) => return Ended::Later(reason),
            Err(Problem::Final(reason)) => return self.fail(&item.id, reason),
        };
        let deployment = connector.deploy(&DeployRequest {
            job_id: &item.id,
            target_id,
            certificate_id: &item.certificate_id,
            config,
            material: &material,
            force: false,
        });
        if deployment.outcome.is_success()
            && let Err(reason) = self.keys.promote(&item.certificate_id, slot)
        {
            // The key is found in its slot all the same.
            tracing::warn!(%reason, "the key stays in its slot");
        }
        self.tell(item, target_id, &deployment)
    }

    /// The certificate, its chain without the root, and the key on this host that belongs to it.
    fn material(&self, item: &WorkItem) -> Result<(Material, crate::keys::Slot), Problem> {
        let last = |error: &dyn std::fmt::Display| Problem::Final(error.to_string());
        let answer = match self.client.get(&self.path(&format!("certificates/{}", item.certificate_id))) {
            Ok(answer) => answer,
            Err(error) if error.is_passing() => return Err(Problem::Later(error.to_string())),
            Err(error) => return Err(Problem::Final(format!("the certificate can't be fetched: {error}"))),
        };
        let text = answer.get("certificate_pem").and_then(Value::as_str).unwrap_or_default();
        let mut certificates = pem::certificates(text).map_err(|error| last(&error))?.into_iter();
        let leaf = certificates.next().ok_or_else(|| Problem::Final("the control plane sent no certificate".into()))?;
        let facts = certificate::inspect(&leaf).map_err(|error| last(&error))?;
        if item.fingerprint_sha256.as_ref().is_some_and(|expected| *expected != facts.fingerprint_sha256) {
            let message = "a newer version was issued since this job was made; its own job deploys it";
            return Err(Problem::Final(message.to_owned()));
        }
        let mut chain = Vec::new();
        for der in certificates {
            let issuer = certificate::inspect(&der).map_err(|error| last(&error))?;
            if issuer.subject_der != issuer.issuer_der {
                chain.push(der);
            }
        }
        let found = self.keys.matching(&item.certificate_id, &facts.spki_der);
        let (slot, key_pem) = found.map_err(|error: KeyStoreError| last(&error))?;
        Ok((Material { leaf, chain, key_pem }, slot))
    }

    /// Reports what was seen on the wire, then how the job ended.
    fn tell(&self, item: &WorkItem, target_id: &str, deployment: &Deployment) -> Ended {
        let error = deployment.outcome.error();
        if self.verify_deployment
            && let Some(seen) = &deployment.served_fingerprint
        {
            let mut body = json!({
                "target_id": target_id,
                "expected_fingerprint": deployment.new_fingerprint,
                "actual_fingerprint": seen,
                "verified": *seen == deployment.new_fingerprint,
            });
            if let Some(error) = &error {
                body["error"] = json!(error);
            }
            if let Err(reason) = self.outbox.put(&format!("/api/v1/jobs/{}/verify", item.id), body) {
                tracing::error!(job_id = item.id, reason, "a report can't be kept");
            }
        }
        let mut body = json!({
            "status": if error.is_none() { "Completed" } else { "Failed" },
            "result": {
                "outcome": deployment.outcome.token(),
                "steps": deployment.steps,
                "new_fingerprint": deployment.new_fingerprint,
                "target_address": deployment.target_address,
            },
        });
        if let Some(old) = &deployment.old_fingerprint {
            body["result"]["old_fingerprint"] = json!(old);
        }
        if let Some(served) = &deployment.served_fingerprint {
            body["result"]["served_fingerprint"] = json!(served);
        }
        if let Some(error) = &error {
            body["error"] = json!(error);
        }
        self.report(&item.id, body);
        error.map_or(Ended::Done, Ended::Failed)
    }

    /// Ends the jobs of deployments that a crash cut short; their files are as they were before.
    pub fn recover(&self) {
        let replayed = match certctl_targets::files::replay(&self.host) {
            Ok(replayed) => replayed,
            Err(reason) => return tracing::error!(reason, "interrupted deployments can't be looked through"),
        };
        for told in replayed {
            tracing::warn!(
                job_id = told.job_id,
                failure = told.failure,
                committed = told.was_committed,
                "a deployment was interrupted"
            );
            let body = if told.was_committed {
                json!({"status": "Completed"})
            } else {
                let (outcome, error) = match told.failure {
                    None => ("rolled_back", "the agent stopped in the middle; the old files are back".to_owned()),
                    Some(failure) => ("rollback_failed", format!("the agent stopped in the middle: {failure}")),
                };
                let result = json!({"outcome": outcome, "steps": []});
                json!({"status": "Failed", "error": error, "result": result})
            };
            self.report(&told.job_id, body);
        }
    }
}

/// Why there is nothing to deploy.
enum Problem {
    /// It may be there later.
    Later(String),
    /// It won't.
    Final(String),
}
