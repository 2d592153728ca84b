//! How an agent gets its identity.

use crate::{Agent, AgentStatus, AgentStore};
use certctl_apikey::IamStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, FieldError, IdKind, RequestContext, Secret};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// The token with which hosts enrol without an operator's key.
pub struct EnrolmentToken(Option<Secret<String>>);

impl EnrolmentToken {
    /// `None`: only callers with `agent.edit` enrol agents.
    pub const fn new(token: Option<Secret<String>>) -> Self {
        Self(token)
    }

    /// Whether the presented text is the token; takes the same time wherever it differs.
    pub fn admits(&self, presented: &str) -> bool {
        self.0.as_ref().is_some_and(|token| !token.expose().is_empty() && token.matches(presented.as_bytes()))
    }
}

/// Who enrols.
pub enum Enroller<'a> {
    /// An operator, by `agent.edit`.
    Operator(&'a Caller),
    /// A host with the enrolment token, already checked.
    Token(&'a RequestContext),
}

/// What a host tells of itself.
#[derive(Debug, Clone, Default)]
pub struct RegisterAgent {
    /// Unique name.
    pub name: String,
    /// Host.
    pub hostname: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub architecture: String,
    /// Address.
    pub ip_address: String,
    /// Version of the agent's program.
    pub version: String,
}

/// An agent just enrolled; its key is shown once.
#[derive(Debug)]
pub struct Enrolled {
    /// The agent.
    pub agent: Agent,
    /// Its own key.
    pub key: Secret<String>,
}

pub(crate) fn check_text(errors: &mut Vec<FieldError>, field: &str, text: &str, longest: usize) {
    if text.chars().count() > longest {
        errors.push(FieldError::new(field, "too_long", format!("must be at most {longest} characters")));
    } else if text.chars().any(char::is_control) {
        errors.push(FieldError::new(field, "invalid", "must not contain control characters"));
    }
}

fn check(command: &RegisterAgent) -> Result<(), DomainError> {
    let mut errors = Vec::new();
    for (field, text) in [("name", &command.name), ("hostname", &command.hostname)] {
        if text.trim().is_empty() {
            errors.push(FieldError::new(field, "required", format!("{field} is required, such as web-1")));
        }
    }
    for (field, text, longest) in [
        ("name", &command.name, 128),
        ("hostname", &command.hostname, 255),
        ("os", &command.os, 100),
        ("architecture", &command.architecture, 100),
        ("ip_address", &command.ip_address, 45),
        ("version", &command.version, 50),
    ] {
        check_text(&mut errors, field, text, longest);
    }
    if errors.is_empty() { Ok(()) } else { Err(DomainError::Validation(errors)) }
}

/// Enrols an agent and makes its own key, which ties every later call to it.
pub async fn register(
    tx: &mut (impl AgentStore + IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    enroller: Enroller<'_>,
    command: RegisterAgent,
) -> Result<Enrolled, DomainError> {
    let (context, means) = match enroller {
        Enroller::Operator(caller) => {
            caller.require(Permission::AgentEdit, &[])?;
            (&caller.context, "operator")
        }
        Enroller::Token(context) => (context, "enrolment_token"),
    };
    check(&command)?;
    let now = ambient.now();
    let agent = Agent {
        id: ambient.id(IdKind::Agent),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: command.name.trim().to_owned(),
        hostname: command.hostname.trim().to_owned(),
        status: AgentStatus::Online,
        last_heartbeat_at: None,
        registered_at: now,
        os: command.os,
        architecture: command.architecture,
        ip_address: command.ip_address,
        version: command.version,
        retired_at: None,
        retired_reason: None,
        row_version: 1,
        updated_at: now,
    };
    tx.insert_agent(&agent).await?;
    let key = certctl_apikey::issue_agent_key(tx, ambient, &agent.id).await?;
    let details = json!({
        "name": agent.name, "hostname": agent.hostname, "os": agent.os, "architecture": agent.architecture,
        "version": agent.version, "by": means,
    });
    tx.record(AuditEvent::new(Action::AgentRegistered, context, &agent.id, details)).await?;
    tx.announce(Change::Access).await?;
    Ok(Enrolled { agent, key })
}

/// The event of an enrolment that was refused for its token; the edge stores it on its own.
pub fn registration_refused(context: &RequestContext) -> AuditEvent {
    let details = json!({"reason": "invalid_or_missing_bootstrap_token"});
    AuditEvent::new(Action::AgentRegistrationRefused, context, "agents", details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_admits() {
        let token = EnrolmentToken::new(Some(Secret::new("0123456789abcdef".to_owned())));
        assert!(token.admits("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef "] {
            assert!(!token.admits(wrong), "{wrong:?}");
        }
        assert!(!EnrolmentToken::new(None).admits(""));
        assert!(!EnrolmentToken::new(Some(Secret::new(String::new()))).admits(""));
    }

    #[test]
    fn a_registration_names_every_broken_rule_at_once() {
        let bad = RegisterAgent { name: "x".repeat(129), version: "1\n2".into(), ..RegisterAgent::default() };
        let Err(DomainError::Validation(errors)) = check(&bad) else { panic!("accepted") };
        let named: Vec<_> = errors.iter().map(|e| (e.field.as_str(), e.code.as_str())).collect();
        assert_eq!(named, [("hostname", "required"), ("name", "too_long"), ("version", "invalid")]);
    }
}
