//! What needs no server: the configuration, completion, the version.

use super::{Needs, Noun, Verb, no_args};
use crate::failure::Failure;
use crate::render::{Shape, column};
use crate::run::{NAME, tree};
use crate::wire::{Listing, Send};
use clap::{Arg, ArgAction, value_parser};
use clap_complete::Shell;
use serde_json::{Value, json};

/// The configuration file.
pub(crate) static CONFIG: Noun = Noun {
    word: "config",
    singular: "profile",
    about: "Profiles of the configuration file: which servers you speak to, and as whom",
    shape: Shape {
        narrow: &[
            column("NAME", "name"),
            column("CURRENT", "current"),
            column("SERVER", "server"),
            column("KEY", "api_key"),
        ],
        wide: &[
            column("CA BUNDLE", "ca_bundle"),
            column("CA FINGERPRINT", "ca_fingerprint"),
            column("OUTPUT", "output"),
        ],
        name: "name",
    },
    verbs: &[&LIST, &USE, &SHOW, &PATH],
    ..Noun::EMPTY
};

/// A profile as it may be shown: where its key comes from, and never the key.
fn shown(name: &str, profile: &crate::config::Profile, current: Option<&str>) -> Value {
    let key = match (&profile.api_key, &profile.api_key_file, &profile.api_key_command) {
        (Some(_), _, _) => Some("********".to_owned()),
        (None, Some(path), _) => Some(format!("from file {}", path.display())),
        (None, None, Some(_)) => Some("from a command".to_owned()),
        (None, None, None) => None,
    };
    json!({
        "name": name,
        "current": current == Some(name),
        "server": profile.server,
        "api_key": key,
        "ca_bundle": profile.ca_bundle,
        "ca_fingerprint": profile.ca_fingerprint,
        "output": profile.output,
    })
}

static LIST: Verb = Verb {
    word: "list",
    aliases: &["ls"],
    about: "List the profiles",
    needs: Needs::Nothing,
    examples: ["config list", "config list -o wide"],
    exits: &[],
    args: no_args,
    run: |call| {
        let config = call.stored()?.config;
        let current = config.current.as_deref();
        let rows = config.profiles.iter().map(|(name, profile)| shown(name, profile, current)).collect();
        call.show_list(&call.noun.shape, &Listing { rows, ..Listing::default() }, &[])
    },
};

static USE: Verb = Verb {
    word: "use",
    aliases: &[],
    about: "Make a profile the current one",
    needs: Needs::Nothing,
    examples: ["config use production", "config use default"],
    exits: &[7],
    args: |command, _| command.arg(Arg::new("name").value_name("NAME").required(true).help("Its name")),
    run: |call| {
        let mut stored = call.stored()?;
        let name = call.text("name").unwrap_or_default();
        stored.config.profile(Some(name))?;
        stored.config.current = Some(name.to_owned());
        stored.save()?;
        call.report(&format!("{name} is the current profile"), &json!({"current": name}))
    },
};

static SHOW: Verb = Verb {
    word: "show",
    aliases: &["get"],
    about: "Show a profile, its key masked",
    needs: Needs::Nothing,
    examples: ["config show", "config show production -o yaml"],
    exits: &[7],
    args: |command, _| command.arg(Arg::new("name").value_name("NAME").help("Its name [default: the current one]")),
    run: |call| {
        let config = call.stored()?.config;
        let wanted = call.text("name").map(ToOwned::to_owned).or_else(|| call.global.profile_name(call.env));
        match config.profile(wanted.as_deref())? {
            Some((name, profile)) => call.show(&shown(name, profile, config.current.as_deref())),
            None => Err(Failure::NotFound { kind: "profile in the configuration", text: "(current)".to_owned() }),
        }
    },
};

static PATH: Verb = Verb {
    word: "path",
    aliases: &[],
    about: "Print where the configuration file is",
    needs: Needs::Nothing,
    examples: ["config path", "config path -o json"],
    exits: &[],
    args: no_args,
    run: |call| {
        let path = call.stored()?.path()?.display().to_string();
        call.report(&path, &json!({"path": path}))
    },
};

/// Shell completion.
pub(crate) static COMPLETION: Verb = Verb {
    word: "completion",
    aliases: &[],
    about: "Print a completion script for a shell",
    needs: Needs::Nothing,
    examples: ["completion bash > /etc/bash_completion.d/certctl", "completion zsh"],
    exits: &[],
    args: |command, _| {
        command.arg(
            Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)).help("The shell"),
        )
    },
    run: |call| {
        let mut script = Vec::new();
        if let Some(shell) = call.matches.get_one::<Shell>("shell") {
            clap_complete::generate(*shell, &mut tree(), NAME, &mut script);
        }
        crate::render::print(&script)
    },
};

/// The version.
pub(crate) static VERSION: Verb = Verb {
    word: "version",
    aliases: &[],
    about: "Print this program's version, and with --compare the server's",
    needs: Needs::Nothing,
    examples: ["version", "version --compare -o json"],
    exits: &[],
    args: |command, _| {
        command.arg(
            Arg::new("compare").long("compare").action(ArgAction::SetTrue).help("Ask the server for its version too"),
        )
    },
    run: |call| {
        let own = env!("CARGO_PKG_VERSION");
        if !call.switch("compare") {
            return call.report(&format!("{NAME} version {own}"), &json!({"version": own}));
        }
        let server = call.client()?.get(&Send::to("/api/v1/version", &[]))?;
        let theirs = server.get("version").and_then(Value::as_str).unwrap_or("unknown");
        call.report(
            &format!("{NAME} version {own}\nserver version {theirs}"),
            &json!({"version": own, "server": server, "same": own == theirs}),
        )
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    #[test]
    fn shown_profile_never_holds_the_key() {
        let profile = Profile { api_key: Some("cctl_topsecret".to_owned()), ..Profile::default() };
        let text = shown("one", &profile, Some("one")).to_string();
        assert!(!text.contains("topsecret"), "{text}");
        assert!(text.contains("********"), "{text}");
    }

    #[test]
    fn every_shell_gets_a_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut tree(), NAME, &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("wait-online"), "{shell}");
        }
    }
}
