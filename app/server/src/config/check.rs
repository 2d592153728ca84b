//! What `config check` looks at beyond the values: the files that they name.

use super::Config;
use certctl_signers::load_key_file;
use std::path::Path;
use time::OffsetDateTime;

/// Problems of the operator's CA pair, without starting anything.
pub(crate) fn check_files(config: &Config, now: OffsetDateTime) -> Vec<String> {
    let Some((cert, key)) = &config.ca_pair else { return Vec::new() };
    check_ca(cert, key, now).err().into_iter().collect()
}

fn check_ca(cert: &Path, key: &Path, now: OffsetDateTime) -> Result<(), String> {
    let of = |path: &Path, reason: String| format!("{}: {reason}", path.display());
    let text = std::fs::read_to_string(cert).map_err(|error| of(cert, format!("can't be read: {error}")))?;
    let facts = certctl_x509::ca::load(&text, now).map_err(|error| of(cert, error.to_string()))?;
    let signer = load_key_file(key).map_err(|error| error.to_string())?;
    facts.check_key(signer.as_ref()).map_err(|error| of(key, error.to_string()))
}
