//! Enrolment: the token, used once, against a credential of the agent's own.

use crate::client::{CallError, Client};
use crate::credential::{self, Credential};
use crate::private_file;
use crate::settings::Settings;
use certctl_kernel::{IdKind, Secret};
use serde_json::{Value, json};
use std::net::UdpSocket;
use url::Url;

/// What the control plane is told of this host.
pub fn host_facts(settings: &Settings) -> Value {
    let uname = rustix::system::uname();
    let mut facts = json!({
        "hostname": uname.nodename().to_string_lossy(),
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "version": env!("CARGO_PKG_VERSION"),
    });
    if let Some(address) = own_address(settings) {
        facts["ip_address"] = json!(address);
    }
    facts
}

/// The address from which this host reaches the control plane. Connecting a datagram socket sends nothing.
fn own_address(settings: &Settings) -> Option<String> {
    let url = Url::parse(&settings.server).ok()?;
    let there = url.socket_addrs(|| Some(443)).ok()?.into_iter().next()?;
    let socket = UdpSocket::bind(if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

/// Why enrolment failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// There is nothing to enrol with.
    #[error(
        "this host is not enrolled: set CERTCTL_AGENT_BOOTSTRAP_TOKEN to the control plane's enrolment token, or \
         CERTCTL_AGENT_ID and CERTCTL_API_KEY to what an operator registered"
    )]
    NoToken,
    /// It is enrolled.
    #[error("this host is enrolled as {0} already")]
    Already(String),
    /// The control plane refused.
    #[error("enrolment failed: {0}")]
    Refused(#[from] CallError),
    /// Anything on this host.
    #[error("{0}")]
    Local(String),
}

/// Enrols with the token and keeps the credential.
pub fn enrol_now(settings: &Settings) -> Result<Credential, EnrolError> {
    private_file::directory(&settings.state_dir)
        .map_err(|error| EnrolError::Local(format!("{}: {error}", settings.state_dir.display())))?;
    if let Some(present) = credential::load(&settings.state_dir, &settings.server).map_err(EnrolError::Local)? {
        return Err(EnrolError::Already(present.agent_id));
    }
    let token = settings.bootstrap_token.as_ref().ok_or(EnrolError::NoToken)?;
    let client = Client::new(settings).map_err(EnrolError::Local)?;
    let mut body = host_facts(settings);
    body["name"] = json!(settings.name);
    let answer = client.call("POST", "/api/v1/agents", Some(("X-Agent-Bootstrap-Token", token)), Some(&body))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(agent_id), Some(api_key)) = (text("id"), text("api_key")) else {
        return Err(EnrolError::Local("the control plane's answer lacks id or api_key".to_owned()));
    };
    IdKind::check_supplied(&agent_id).map_err(|error| EnrolError::Local(format!("the agent id {error}")))?;
    let credential = Credential { agent_id, api_key: Secret::new(api_key) };
    credential::store(&settings.state_dir, &settings.server, &credential).map_err(EnrolError::Local)?;
    tracing::info!(agent_id = credential.agent_id, name = settings.name, "enrolled");
    Ok(credential)
}

/// The credential to work with: what the operator gave, else what enrolment left, else a new enrolment.
pub fn credential(settings: &Settings) -> Result<Credential, EnrolError> {
    if let Some((agent_id, api_key)) = &settings.given {
        return Ok(Credential { agent_id: agent_id.clone(), api_key: api_key.clone() });
    }
    match credential::load(&settings.state_dir, &settings.server).map_err(EnrolError::Local)? {
        Some(credential) => Ok(credential),
        None => enrol_now(settings),
    }
}
