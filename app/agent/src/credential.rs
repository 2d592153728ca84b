//! What the agent proves itself with.

use crate::private_file;
use certctl_kernel::{IdKind, Secret};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The agent's id and key.
#[derive(Debug)]
pub struct Credential {
    /// The agent.
    pub agent_id: String,
    /// Its key.
    pub api_key: Secret<String>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    agent_id: String,
    api_key: String,
    server: String,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("credential.json")
}

/// Reads what enrolment left; an error when it is for another control plane.
pub fn load(state_dir: &Path, server: &str) -> Result<Option<Credential>, String> {
    let path = path(state_dir);
    let text = match std::fs::read(&path) {
        Ok(text) => Secret::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    // The parser's words could quote the key.
    let stored: Stored = serde_json::from_slice(text.expose()).map_err(|_| format!("{} is damaged", path.display()))?;
    if stored.server != server {
        return Err(format!(
            "{} is the credential for {}, not for {server}; to enrol there, move it away",
            path.display(),
            stored.server
        ));
    }
    IdKind::check_supplied(&stored.agent_id).map_err(|error| format!("{}: agent_id {error}", path.display()))?;
    Ok(Some(Credential { agent_id: stored.agent_id, api_key: Secret::new(stored.api_key) }))
}

/// Keeps a credential for the next start.
pub fn store(state_dir: &Path, server: &str, credential: &Credential) -> Result<(), String> {
    let stored = Stored {
        agent_id: credential.agent_id.clone(),
        api_key: credential.api_key.expose().clone(),
        server: server.to_owned(),
    };
    let text = Secret::new(serde_json::to_vec(&stored).map_err(|_| "the credential can't be written".to_owned())?);
    let path = path(state_dir);
    private_file::write(&path, text.expose()).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_credential_survives_for_its_own_control_plane_only() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(load(folder.path(), "https://a").expect("nothing yet").is_none());
        let given = Credential { agent_id: "agt-1".into(), api_key: Secret::new("cctl_x".into()) };
        store(folder.path(), "https://a", &given).expect("stores");
        let mode = folder.path().join("credential.json").metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = load(folder.path(), "https://a").expect("reads").expect("there");
        assert_eq!((read.agent_id.as_str(), read.api_key.expose().as_str()), ("agt-1", "cctl_x"));
        assert!(load(folder.path(), "https://b").expect_err("elsewhere").contains("https://a"));
    }
}
