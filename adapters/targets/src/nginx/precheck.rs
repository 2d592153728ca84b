//! Asks nginx about staged files before they go live: `nginx -t` on the live configuration would read the old pair.

use crate::command;
use crate::host::Host;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

/// Working directories that nginx makes at every start, and the option that leaves the module out of a build.
const WORK: &[(&str, &str)] = &[
    ("client_body", ""),
    ("proxy", "--without-http_proxy_module"),
    ("fastcgi", "--without-http_fastcgi_module"),
    ("uwsgi", "--without-http_uwsgi_module"),
    ("scgi", "--without-http_scgi_module"),
];

/// Lets nginx load the pair from a configuration of its own that touches nothing of the live service.
pub fn check(host: &Host, program: &str, cert: &Path, key: &Path, limit: Duration) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the check of the staged files could not be set up: {error}");
    let scratch = tempfile::Builder::new().prefix("certctl-nginx-").tempdir().map_err(failed)?;
    let folder = scratch.path();
    // Links with plain names: the configuration never holds a character of the target's paths.
    symlink(cert, folder.join("cert.pem")).map_err(failed)?;
    symlink(key, folder.join("key.pem")).map_err(failed)?;
    let text = |error: command::CommandError| error.to_string();
    let build = command::run(host, &[program.to_owned(), "-V".to_owned()], limit).map_err(text)?;
    let at = folder.display();
    let mut work = String::new();
    for (name, without) in WORK {
        if without.is_empty() || !build.contains(without) {
            let _ = writeln!(work, "  {name}_temp_path {at}/{name};");
        }
    }
    let conf = format!(
        "pid {at}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n  access_log off;\n{work}  server {{\n    \
         listen unix:{at}/socket ssl;\n    ssl_certificate {at}/cert.pem;\n    ssl_certificate_key {at}/key.pem;\n  \
         }}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, conf).map_err(failed)?;
    let words = [program, "-t", "-q", "-p", &at.to_string(), "-c", &path.display().to_string()].map(str::to_owned);
    command::run(host, &words, limit).map_err(text)?;
    Ok(format!("{program} loads the staged certificate and key"))
}
