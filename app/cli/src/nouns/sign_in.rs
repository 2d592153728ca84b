//! Signing in and out, and the first admin.

use super::{Needs, Verb, args_of};
use crate::ask;
use crate::config::Profile;
use crate::failure::Failure;
use crate::run::Call;
use crate::settings::{Settings, Stored};
use crate::wire::{Authority, Client, Send, normalise_fingerprint, presented_chain};
use certctl_kernel::Secret;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const FIRST_PROFILE: &str = "default";

#[derive(Debug, Args)]
struct LoginArgs {
    /// Read the key from standard input
    #[arg(long)]
    api_key_stdin: bool,
    /// SHA-256 of the authority to trust, when its certificate is not at hand; the server must show it
    #[arg(long, value_name = "SHA256", value_parser = normalise_fingerprint)]
    ca_fingerprint: Option<String>,
}

#[derive(Debug, Args)]
struct BootstrapArgs {
    /// Read the one-time token from standard input
    #[arg(long)]
    token_stdin: bool,
    /// Name of the first admin
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Keep the key in a profile of the configuration file instead of printing it
    #[arg(long)]
    save: bool,
    /// SHA-256 of the authority to trust, when its certificate is not at hand; the server must show it
    #[arg(long, value_name = "SHA256", value_parser = normalise_fingerprint)]
    ca_fingerprint: Option<String>,
}

/// Signs in.
pub(crate) static LOGIN: Verb = Verb {
    word: "login",
    aliases: &[],
    about: "Sign in: check a key against the server and keep both in a profile",
    needs: Needs::Credential,
    examples: [
        "login --server https://pki.example:8443 --ca-bundle ca.pem",
        "login --api-key-stdin --ca-fingerprint 9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08 --profile production < key",
    ],
    exits: &[],
    args: args_of::<LoginArgs>,
    run: login,
};

/// Signs out.
pub(crate) static LOGOUT: Verb = Verb {
    word: "logout",
    aliases: &[],
    about: "Sign out: forget the key of a profile",
    needs: Needs::Nothing,
    examples: ["logout", "logout --profile production"],
    exits: &[7],
    args: super::no_args,
    run: |call| {
        let mut stored = call.stored()?;
        let wanted = call.global.profile_name(call.env);
        let Some((name, _)) = stored.config.profile(wanted.as_deref())? else {
            return call.report("no profile to sign out of", &json!({"profile": null}));
        };
        let name = name.to_owned();
        if let Some(profile) = stored.config.profiles.get_mut(&name) {
            profile.api_key = None;
            profile.api_key_file = None;
            profile.api_key_command = None;
        }
        stored.save()?;
        call.report(
            &format!("the key of profile {name} is forgotten here; it still works until `certctl keys delete`"),
            &json!({"profile": name}),
        )
    },
};

/// Makes the first admin.
pub(crate) static BOOTSTRAP: Verb = Verb {
    word: "bootstrap",
    aliases: &[],
    about: "Make the first admin with the server's one-time token",
    needs: Needs::Permission("the one-time token"),
    examples: ["bootstrap --token-stdin --name admin --save < bootstrap-token", "bootstrap --name admin -o json"],
    exits: &[7, 8, 9],
    args: args_of::<BootstrapArgs>,
    run: bootstrap,
};

/// The name of the profile to write, checked to be one that can name a file.
fn profile_to_write(call: &Call, stored: &Stored) -> Result<String, Failure> {
    let name = call
        .global
        .profile_name(call.env)
        .or_else(|| stored.config.current.clone())
        .unwrap_or_else(|| FIRST_PROFILE.to_owned());
    let sound = !name.starts_with('.')
        && (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if sound {
        Ok(name)
    } else {
        Err(Failure::Usage("a profile's name is 1 to 64 letters, digits, points, hyphens and underscores".to_owned()))
    }
}

/// Settings and profile of a server that may be new.
struct FirstContact {
    stored: Stored,
    name: String,
    settings: Settings,
}

impl FirstContact {
    fn new(call: &Call) -> Result<Self, Failure> {
        let stored = call.stored()?;
        let name = profile_to_write(call, &stored)?;
        let known = stored.config.profiles.get(&name).map(|profile| {
            // The key is what is about to be replaced; a broken source of the old one must not stand in the way.
            Profile { api_key: None, api_key_file: None, api_key_command: None, ..profile.clone() }
        });
        let settings = Settings::resolve(call.global, call.env, known.as_ref())?;
        Ok(Self { stored, name, settings })
    }

    /// Trusts the authority with this fingerprint, if the server shows it, and keeps it beside the configuration.
    fn trust(&mut self, pin: &str) -> Result<(), Failure> {
        let chain = presented_chain(&self.settings.server, self.settings.timeout)?;
        let Some(authority) = chain.iter().find(|shown| shown.fingerprint() == pin) else {
            let shown: Vec<String> = chain.iter().map(Authority::fingerprint).collect();
            return Err(Failure::Untrusted {
                server: self.settings.server.origin().ascii_serialization(),
                reason: format!(
                    "it shows no certificate with the given fingerprint, only {}; if it doesn't send its authority, use --ca-bundle",
                    shown.join(" and ")
                ),
            });
        };
        let path = self.stored.authority_path(&self.name)?;
        crate::config::write_private(&path, authority.to_pem().as_bytes())?;
        self.settings.ca_bundle = Some(path);
        self.settings.ca_fingerprint = Some(pin.to_owned());
        Ok(())
    }

    /// A client that trusts the server: by what is configured, by the pin, or because the operator says so.
    fn client(&mut self, call: &Call, pin: Option<&str>) -> Result<Client, Failure> {
        if let Some(pin) = pin {
            self.trust(pin)?;
        }
        let client = Client::new(&self.settings, &call.command())?;
        match client.probe("/health") {
            Err(Failure::Untrusted { server, reason }) if pin.is_none() && ask::somebody() => {
                let chain = presented_chain(&self.settings.server, self.settings.timeout)?;
                let Some(top) = chain.last() else {
                    return Err(Failure::Untrusted { server, reason });
                };
                let found = top.fingerprint();
                eprintln!("{server} is not known here. Its topmost certificate has the SHA-256 fingerprint\n  {found}");
                if !ask::yes("Compare it with what the server printed. Is it the same?")? {
                    return Err(Failure::Untrusted { server, reason });
                }
                self.trust(&found)?;
                Client::new(&self.settings, &call.command())
            }
            Err(failure) => Err(failure),
            Ok(_) => Ok(client),
        }
    }

    /// Writes the profile and makes it the current one.
    fn keep(mut self, key: &Secret<String>) -> Result<String, Failure> {
        let bundle = self.settings.ca_bundle.as_deref().map(absolute).transpose()?;
        let profile = self.stored.config.profiles.entry(self.name.clone()).or_default();
        profile.server = Some(self.settings.server.as_str().trim_end_matches('/').to_owned());
        profile.api_key = Some(key.expose().clone());
        profile.api_key_file = None;
        profile.api_key_command = None;
        profile.ca_bundle = bundle;
        profile.ca_fingerprint.clone_from(&self.settings.ca_fingerprint);
        self.stored.config.current = Some(self.name.clone());
        self.stored.save()?;
        Ok(self.name)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::Local(format!("cannot name {}: {error}", path.display())))
}

fn login(call: &Call) -> Result<(), Failure> {
    let LoginArgs { api_key_stdin, ca_fingerprint } = call.parse()?;
    let mut contact = FirstContact::new(call)?;
    let client = if api_key_stdin { None } else { Some(contact.client(call, ca_fingerprint.as_deref())?) };
    let key = match contact.settings.api_key.clone() {
        Some(key) if !api_key_stdin => key,
        _ => ask::secret("API key")?,
    };
    let client = match client {
        Some(client) => client,
        None => contact.client(call, ca_fingerprint.as_deref())?,
    };
    let me = client.with_key(key.clone()).get(&Send::to("/api/v1/auth/me", &[]))?;
    let server = contact.settings.server.origin().ascii_serialization();
    let profile = contact.keep(&key)?;
    let actor = me.get("actor_id").and_then(Value::as_str).unwrap_or("unknown");
    let roles: Vec<&str> =
        me.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    call.report(
        &format!("signed in to {server} as {actor} ({}); profile {profile} is the current one", roles.join(", ")),
        &json!({"profile": profile, "server": server, "actor_id": actor, "roles": roles}),
    )
}

fn bootstrap(call: &Call) -> Result<(), Failure> {
    let BootstrapArgs { token_stdin, name, save, ca_fingerprint } = call.parse()?;
    if !token_stdin && !ask::somebody() {
        return Err(Failure::Usage("without a terminal to ask on, give the token with --token-stdin".to_owned()));
    }
    let token = ask::secret("bootstrap token")?;
    let mut contact = FirstContact::new(call)?;
    // The token is the credential here; an old key would only be refused.
    contact.settings.api_key = None;
    let client = contact.client(call, ca_fingerprint.as_deref())?;
    let body = json!({"token": token.expose(), "actor_name": name});
    let mut answer = client.post(&Send::to("/api/v1/auth/bootstrap", &[]).body(body).once())?;
    if save {
        let key = answer.get("key_value").and_then(Value::as_str).map(|key| Secret::new(key.to_owned()));
        let key = key.ok_or_else(|| Failure::Network("the server's answer has no key_value".to_owned()))?;
        let profile = contact.keep(&key)?;
        answer["key_value"] = json!(format!("kept in profile {profile}"));
    } else {
        eprintln!("the key is shown this once; keep it safe");
    }
    call.show(&answer)
}
