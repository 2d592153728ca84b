//! An operator's CA files.

use certctl_ca::CaFiles;
use certctl_port_issuer::IssuerError;
use certctl_ports::{KeyGenerator, SigningKey};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

/// No certificate chain or key is anywhere near this long; a wrong path may be.
const LARGEST: u64 = 1 << 20;

/// What was read of an operator's CA.
pub(crate) struct OperatorFiles {
    pub(crate) certificate_pem: String,
    pub(crate) key: Box<dyn SigningKey>,
}

/// Reads both files. Failures name the file, never its content.
pub(crate) fn read(files: &CaFiles, keys: &dyn KeyGenerator) -> Result<OperatorFiles, IssuerError> {
    let certificate_pem = text(&files.certificate, "ca_cert_unreadable", |_| Ok(()))?;
    if files.on_token() {
        let key = keys
            .load_token(&files.key)
            .map_err(|error| unusable("ca_key_unsupported", format!("{}: {error}", files.key)))?;
        return Ok(OperatorFiles { certificate_pem, key });
    }
    let key_pem = certctl_kernel::Secret::new(text(&files.key, "ca_key_unreadable", check_mode)?);
    let key = keys
        .load_pem(key_pem.expose())
        .map_err(|error| unusable("ca_key_unsupported", format!("{}: {error}", files.key)))?;
    Ok(OperatorFiles { certificate_pem, key })
}

fn unusable(code: &'static str, message: String) -> IssuerError {
    IssuerError::Unusable { code, message }
}

fn text(
    path: &str,
    code: &'static str,
    check: impl FnOnce(&fs::Metadata) -> Result<(), String>,
) -> Result<String, IssuerError> {
    let failed = |error: std::io::Error| unusable(code, format!("{path} can't be read: {error}"));
    let file = File::open(path).map_err(failed)?;
    // Of the open file, so that what was checked is what is read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(unusable(code, format!("{path} is not a file")));
    }
    check(&metadata).map_err(|reason| unusable("ca_key_exposed", format!("{path} {reason}")))?;
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn check_mode(metadata: &fs::Metadata) -> Result<(), String> {
    if metadata.mode() & 0o077 != 0 {
        return Err(format!("can be read by others (mode {:o}); set it to 600", metadata.mode() & 0o777));
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(format!("belongs to user {}; it must belong to the server's user {user}", metadata.uid()));
    }
    Ok(())
}
