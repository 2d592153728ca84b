//! Stamps the commit and the compiler into the binary; works without either.

use std::process::Command;

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn main() {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let compiler = output(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["--version"])
        .unwrap_or_else(|| "rustc".to_owned());
    println!("cargo:rustc-env=CERTCTL_COMMIT={commit}");
    println!("cargo:rustc-env=CERTCTL_COMPILER={compiler}");
    println!("cargo:rerun-if-changed=../../.git/HEAD");
}
