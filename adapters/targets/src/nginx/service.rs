//! The running nginx during a deployment.

use super::config::{Config, Layout};
use super::precheck;
use crate::command;
use crate::files::Hooks;
use crate::host::Host;
use crate::preflight;
use crate::probe::Seen;
use crate::steps::Steps;
use certctl_port_target::Material;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the endpoint served before the deployment.
enum Before {
    /// No endpoint is known.
    Unknown,
    /// It did not answer.
    Silent,
    /// This leaf.
    Leaf(String),
}

/// The service, and the record of what was done to it.
pub struct Service<'a> {
    host: &'a Host,
    config: &'a Config,
    material: &'a Material,
    pub steps: &'a mut Steps,
    before: Before,
    reload_attempted: bool,
    last_seen: Option<String>,
}

impl<'a> Service<'a> {
    /// Looks at what is served now, where an endpoint is known.
    pub fn new(host: &'a Host, config: &'a Config, material: &'a Material, steps: &'a mut Steps) -> Self {
        let before = match config.watch.as_ref().map(crate::serving::Watch::look) {
            None => Before::Unknown,
            Some(Err(_)) => Before::Silent,
            Some(Ok(seen)) => Before::Leaf(seen.fingerprint),
        };
        Self { host, config, material, steps, before, reload_attempted: false, last_seen: None }
    }

    /// The leaf that was last seen on the wire.
    pub fn served(&self) -> Option<String> {
        self.last_seen.clone()
    }

    fn command(&mut self, step: &str, words: &[String]) -> Result<(), String> {
        let (host, limit) = (self.host, self.config.command_timeout);
        self.steps
            .run(
                step,
                || command::run(host, words, limit).map_err(|error| error.to_string()),
                |output| {
                    let shown = words.join(" ");
                    if output.is_empty() { shown } else { format!("{shown}: {output}") }
                },
            )
            .map(drop)
    }

    /// Whether what was seen is what was deployed.
    fn accepts(config: &Config, material: &Material, seen: &Seen) -> Result<(), String> {
        let expected = material.fingerprint();
        if seen.fingerprint != expected {
            return Err(format!("serves {}, not {expected}", seen.fingerprint));
        }
        let compare =
            config.layout == Layout::Fullchain && config.watch.as_ref().is_some_and(|watch| watch.expect_chain);
        if compare && seen.chain.get(1..).unwrap_or_default() != material.chain {
            return Err("serves the leaf, but not the intermediates that go with it".to_owned());
        }
        Ok(())
    }

    fn confirm_new(&mut self) -> Result<(), String> {
        let (config, material) = (self.config, self.material);
        let Some(watch) = &config.watch else {
            self.steps.note("verify", "skipped, unverified: post_deploy_verify names no endpoint or is not enabled");
            return Ok(());
        };
        let seen = self.steps.run(
            "verify",
            || watch.confirm(&|seen| Self::accepts(config, material, seen)),
            |seen| format!("{} serves {} over {}", watch.endpoint, seen.fingerprint, seen.tls_version),
        )?;
        self.last_seen = Some(seen.fingerprint);
        Ok(())
    }

    /// The files are as they should be: makes the service use them if it does not. True when it had to.
    pub fn refresh(&mut self) -> Result<bool, String> {
        let (config, material) = (self.config, self.material);
        self.steps.note("write", "every file holds this certificate already");
        let Some(watch) = &config.watch else { return Ok(false) };
        match watch.agree(&|seen| Self::accepts(config, material, seen)) {
            Ok(seen) => {
                self.steps.note("verify", format!("{} serves {}", watch.endpoint, seen.fingerprint));
                self.last_seen = Some(seen.fingerprint);
                Ok(false)
            }
            Err(reason) => {
                self.steps.note("verify", format!("the service is behind its files: {reason}"));
                self.post_commit()
                    .map(|()| true)
                    .map_err(|cause| format!("the files hold this certificate, but it is not served: {cause}"))
            }
        }
    }

    /// The commands and the look of a dry run.
    pub fn rehearse(&mut self) {
        let scratch = tempfile::tempdir();
        let pair = scratch.map_err(|error| error.to_string()).and_then(|folder| {
            let staged = |name: &str, text: &[u8]| {
                let path = folder.path().join(name);
                crate::files::write_private(&path, text).map(|()| path)
            };
            let cert = staged("cert.pem", preflight::fullchain_pem(self.material).as_bytes())?;
            let key = staged("key.pem", self.material.key_pem.expose().as_bytes())?;
            Ok((folder, cert, key))
        });
        match pair {
            Ok((_folder, cert, key)) => {
                // What failed is in the record; the other steps are worth seeing too.
                let _ = self.precheck(&cert, &key);
            }
            Err(reason) => self.steps.note("precheck", format!("skipped: {reason}")),
        }
        let _ = self.command("validate", &self.config.validate_command());
        if let Some(watch) = &self.config.watch {
            let _ = self.steps.run(
                "verify",
                || watch.look(),
                |seen| format!("{} serves {} now", watch.endpoint, seen.fingerprint),
            );
        }
    }

    fn precheck(&mut self, cert: &std::path::Path, key: &std::path::Path) -> Result<(), String> {
        let (host, limit) = (self.host, self.config.command_timeout);
        let Some(program) = self.config.binary() else {
            self.steps.note("precheck", "skipped: neither command names an nginx program");
            return Ok(());
        };
        self.steps.run("precheck", || precheck::check(host, &program, cert, key, limit), Clone::clone).map(drop)
    }
}

impl Hooks for Service<'_> {
    fn pre_commit(&mut self, staged: &BTreeMap<PathBuf, PathBuf>) -> Result<(), String> {
        let at = |path: &PathBuf| {
            let resolved = path.parent().and_then(|parent| parent.canonicalize().ok()).zip(path.file_name());
            let resolved = resolved.map_or_else(|| path.clone(), |(parent, name)| parent.join(name));
            let followed = resolved.canonicalize().unwrap_or_else(|_| resolved.clone());
            staged.get(&resolved).or_else(|| staged.get(&followed)).cloned()
        };
        let cert = at(&self.config.cert_path);
        let key = self.config.key.as_ref().and_then(|file| at(&file.path));
        if let (Some(cert), Some(key)) = (cert, key) {
            self.precheck(&cert, &key)
        } else {
            self.steps.note("precheck", "skipped: the target has no key_path, so there is no pair to load");
            Ok(())
        }
    }

    fn post_commit(&mut self) -> Result<(), String> {
        self.command("validate", &self.config.validate_command())?;
        self.reload_attempted = true;
        self.command("reload", &self.config.reload_command())?;
        self.confirm_new()
    }

    fn after_restore(&mut self) -> Result<(), String> {
        if !self.reload_attempted {
            self.steps.note("restore", "the old files are back; the service was not asked to reload in between");
            return Ok(());
        }
        self.steps.note("restore", "the old files are back");
        let reloaded = self.command("reload_old", &self.config.reload_command());
        let Some(watch) = &self.config.watch else { return reloaded };
        // What counts is what is served: a reload that keeps failing leaves the old workers as they were.
        match &self.before {
            Before::Unknown => reloaded,
            Before::Silent => match watch.look() {
                Err(_) => Ok(()),
                Ok(_) => reloaded,
            },
            Before::Leaf(leaf) => {
                let same = |seen: &Seen| {
                    if seen.fingerprint == *leaf { Ok(()) } else { Err(format!("serves {}", seen.fingerprint)) }
                };
                let seen = self.steps.run(
                    "verify_old",
                    || watch.confirm(&same),
                    |seen| format!("{} serves the old certificate {}", watch.endpoint, seen.fingerprint),
                )?;
                self.last_seen = Some(seen.fingerprint);
                Ok(())
            }
        }
    }
}
