//! From a command line to a verb: the command tree made from the table, and what a running verb has at hand.

use crate::ask;
use crate::failure::Failure;
use crate::nouns::{NOUNS, Needs, Noun, ROOT, Verb};
use crate::render;
use crate::settings::{Env, Format, Global, Settings, Stored};
use crate::wire::{Client, Listing};
use clap::{Arg, ArgMatches, Args as _, Command, FromArgMatches};
use serde_json::{Value, json};
use std::ffi::OsString;

/// The program's name.
pub(crate) const NAME: &str = "certctl";

const EXITS: &[(u8, &str)] = &[
    (0, "success"),
    (1, "server or network error"),
    (2, "usage"),
    (3, "not signed in"),
    (4, "not allowed"),
    (5, "the operation ran and failed"),
    (6, "time ran out"),
    (7, "not found"),
    (8, "conflict"),
    (9, "input rejected"),
    (10, "rate limited"),
    (130, "interrupted"),
];

/// Everything a verb works with.
pub(crate) struct Call<'a> {
    pub(crate) noun: &'static Noun,
    pub(crate) verb: &'static Verb,
    pub(crate) matches: &'a ArgMatches,
    pub(crate) global: &'a Global,
    pub(crate) env: Env<'a>,
}

impl Call<'_> {
    /// The noun and verb, as the server's audit trail shows them.
    pub(crate) fn command(&self) -> String {
        format!("{} {}", self.noun.word, self.verb.word).trim_start().to_owned()
    }

    /// The configuration file.
    pub(crate) fn stored(&self) -> Result<Stored, Failure> {
        Stored::load(self.env)
    }

    /// The settings of this run.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let stored = self.stored()?;
        let name = self.global.profile_name(self.env);
        Settings::resolve(self.global, self.env, stored.config.profile(name.as_deref())?.map(|(_, profile)| profile))
    }

    /// A client for this run.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.settings()?, &self.command())
    }

    /// The output format of this run.
    pub(crate) fn format(&self) -> Result<Format, Failure> {
        if self.global.output.or(self.global.format).is_some() {
            return self.global.output(None);
        }
        let stored = self.stored()?;
        let name = self.global.profile_name(self.env);
        // A profile that is yet to be made has no say.
        let profile = stored.config.profile(name.as_deref()).ok().flatten();
        self.global.output(profile.map(|(_, profile)| profile))
    }

    /// Prints one object.
    pub(crate) fn show(&self, object: &Value) -> Result<(), Failure> {
        render::print(render::object(self.format()?, &self.noun.shape, object)?.as_bytes())
    }

    /// Prints one object of another kind.
    pub(crate) fn show_as(&self, shape: &render::Shape, object: &Value) -> Result<(), Failure> {
        render::print(render::object(self.format()?, shape, object)?.as_bytes())
    }

    /// Prints a list.
    pub(crate) fn show_list(&self, shape: &render::Shape, rows: &Listing, fields: &[String]) -> Result<(), Failure> {
        render::print(render::list(self.format()?, shape, rows, fields)?.as_bytes())
    }

    /// Says what was done: a line for people, `object` for programs.
    pub(crate) fn report(&self, line: &str, object: &Value) -> Result<(), Failure> {
        match self.format()? {
            Format::Table | Format::Wide | Format::Csv => render::print(format!("{}\n", render::safe(line)).as_bytes()),
            _ => self.show(object),
        }
    }

    /// The arguments as a derived struct.
    pub(crate) fn parse<A: FromArgMatches>(&self) -> Result<A, Failure> {
        A::from_arg_matches(self.matches).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// A flag or positional of the command.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
    }

    /// A switch of the command.
    pub(crate) fn switch(&self, name: &str) -> bool {
        matches!(self.matches.try_get_one::<bool>(name), Ok(Some(true)))
    }

    /// Before something that can't be taken back: prints the plan with `--dry-run` (and returns false), asks
    /// without `--yes`, and refuses where nobody can be asked.
    pub(crate) fn go_ahead(&self, action: &str, objects: &[Value]) -> Result<bool, Failure> {
        let lines: Vec<String> = objects.iter().take(10).map(one_line).collect();
        let more = objects.len().saturating_sub(lines.len());
        if self.switch("dry_run") {
            let plan = json!({"dry_run": true, "action": action, "count": objects.len(), "objects": objects});
            return match self.format()? {
                Format::Json | Format::Yaml => self.show(&plan),
                _ => {
                    let mut text = format!("would {action}:\n");
                    text.extend(objects.iter().map(|object| format!("  {}\n", one_line(object))));
                    render::print(text.as_bytes())
                }
            }
            .map(|()| false);
        }
        if self.switch("yes") {
            return Ok(true);
        }
        if !ask::somebody() {
            return Err(Failure::Usage(format!("to {action} without a terminal to ask on, add --yes")));
        }
        eprintln!("About to {action}:");
        for line in lines {
            eprintln!("  {line}");
        }
        if more > 0 {
            eprintln!("  and {more} more");
        }
        if ask::yes("Go ahead?")? { Ok(true) } else { Err(Failure::Usage("left as it was".to_owned())) }
    }
}

/// An object in a line: id, name, state.
fn one_line(object: &Value) -> String {
    ["id", "name", "common_name", "hostname", "type", "status"]
        .iter()
        .filter_map(|member| object.get(member)?.as_str())
        .map(render::safe)
        .collect::<Vec<_>>()
        .join("  ")
}

/// `--yes` and `--dry-run`, for verbs that can't be taken back.
pub(crate) fn destructive(command: Command) -> Command {
    command.arg(Arg::new("yes").short('y').long("yes").action(clap::ArgAction::SetTrue).help("Don't ask")).arg(
        Arg::new("dry_run")
            .long("dry-run")
            .action(clap::ArgAction::SetTrue)
            .help("Show what would be hit and change nothing"),
    )
}

fn fill(text: &str, noun: &Noun) -> String {
    text.replace("{noun}", noun.word)
        .replace("{one}", noun.singular)
        .replace("{a}", if noun.singular.starts_with(['a', 'e', 'i', 'o', 'u', 'A']) { "an" } else { "a" })
}

fn leaf(noun: &'static Noun, verb: &'static Verb) -> Command {
    let needs = match verb.needs {
        Needs::Read => noun.permissions[0],
        Needs::Edit => noun.permissions[1],
        Needs::Delete => noun.permissions[2],
        Needs::Permission(permission) => permission,
        Needs::Credential => "any signed-in caller",
        Needs::Nothing => "none",
    };
    let remote: &[u8] = match verb.needs {
        Needs::Nothing => &[0, 1, 2],
        Needs::Credential => &[0, 1, 2, 3, 6, 10, 130],
        _ => &[0, 1, 2, 3, 4, 6, 10, 130],
    };
    let exits: Vec<String> = EXITS
        .iter()
        .filter(|(code, _)| remote.contains(code) || verb.exits.contains(code))
        .map(|(code, meaning)| format!("{code} {meaning}"))
        .collect();
    let after = format!(
        "Examples:\n  {NAME} {}\n  {NAME} {}\n\nPermission: {needs}\nExit codes: {}",
        fill(verb.examples[0], noun),
        fill(verb.examples[1], noun),
        exits.join(", ")
    );
    let command = Command::new(verb.word)
        .about(fill(verb.about, noun))
        .visible_aliases(verb.aliases.iter().copied())
        .after_help(after);
    let command = (verb.args)(command, noun);
    let taken = |long: &str| command.get_arguments().any(|arg| arg.get_long() == Some(long));
    // Where `--profile` is a certificate profile, the configuration's is `--cli-profile` alone.
    let own = [profile_flag("profile_here"), format_flag("format_here")];
    let own: Vec<Arg> = own.into_iter().filter(|arg| arg.get_long().is_some_and(|long| !taken(long))).collect();
    command.args(own)
}

fn profile_flag(id: &'static str) -> Arg {
    Arg::new(id).long("profile").value_name("NAME").help("Profile of the configuration file")
}

/// The older name of `--output`.
fn format_flag(id: &'static str) -> Arg {
    Arg::new(id).long("format").value_parser(clap::value_parser!(Format)).value_name("FORMAT").hide(true)
}

/// The global flags, with those that some commands use otherwise.
fn global_of(root: &ArgMatches) -> Result<Global, clap::Error> {
    let leaf = find(root).map_or(root, |(_, _, leaf)| leaf);
    let mut global = Global::from_arg_matches(leaf)?;
    let profile = |matches: &ArgMatches, id: &str| matches.try_get_one::<String>(id).ok().flatten().cloned();
    let format = |matches: &ArgMatches, id: &str| matches.try_get_one::<Format>(id).ok().flatten().copied();
    global.cli_profile =
        global.cli_profile.or_else(|| profile(leaf, "profile_here")).or_else(|| profile(root, "profile_root"));
    global.format = format(leaf, "format_here").or_else(|| format(root, "format_root"));
    Ok(global)
}

/// The whole command tree.
pub(crate) fn tree() -> Command {
    let mut root = Command::new(NAME)
        .about("Issue, deploy, renew and revoke certificates through a certctl server")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .args([profile_flag("profile_root"), format_flag("format_root")])
        .after_help(format!(
            "Examples:\n  {NAME} login --server https://pki.example:8443 --ca-bundle ca.pem\n  \
             {NAME} certs list --status Expiring -o wide\n\nExit codes: {}",
            EXITS.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect::<Vec<_>>().join(", ")
        ));
    for noun in NOUNS {
        let mut group = Command::new(noun.word)
            .about(noun.about)
            .visible_aliases(noun.aliases.iter().copied())
            .subcommand_required(true)
            .arg_required_else_help(true)
            .disable_help_subcommand(true);
        for verb in noun.verbs {
            // Verbs of two words share a group of their own between: `auth roles list`, `auth roles get`.
            match verb.word.split_once(' ') {
                None => group = group.subcommand(leaf(noun, verb)),
                Some((first, second)) => {
                    if group.find_subcommand(first).is_none() {
                        let siblings = noun.verbs.iter().filter(|other| other.word.starts_with(&format!("{first} ")));
                        let about = match siblings.count() {
                            1 => fill(verb.about, noun),
                            _ => format!("Commands around {first}"),
                        };
                        let inner = Command::new(first)
                            .about(about)
                            .subcommand_required(true)
                            .arg_required_else_help(true)
                            .disable_help_subcommand(true);
                        group = group.subcommand(inner);
                    }
                    group = group.mut_subcommand(first, |inner| inner.subcommand(leaf(noun, verb).name(second)));
                }
            }
        }
        root = root.subcommand(group);
    }
    for verb in ROOT.verbs {
        root = root.subcommand(leaf(ROOT, verb));
    }
    Global::augment_args(root)
}

/// Finds the verb that was asked for, with its own matches.
fn find(matches: &ArgMatches) -> Option<(&'static Noun, &'static Verb, &ArgMatches)> {
    let (first, inner) = matches.subcommand()?;
    if let Some(verb) = ROOT.verbs.iter().find(|verb| verb.word == first) {
        return Some((ROOT, verb, inner));
    }
    let noun = NOUNS.iter().find(|noun| noun.word == first)?;
    let (second, mut leaf) = inner.subcommand()?;
    let mut word = second.to_owned();
    if let Some((third, deeper)) = leaf.subcommand() {
        word = format!("{second} {third}");
        leaf = deeper;
    }
    let verb = noun.verbs.iter().find(|verb| verb.word == word)?;
    Some((noun, verb, leaf))
}

fn perform(matches: &ArgMatches, global: &Global, env: Env) -> Result<(), Failure> {
    let (noun, verb, matches) =
        find(matches).ok_or_else(|| Failure::Usage("unknown command; see certctl --help".to_owned()))?;
    if global.api_key.is_some() {
        eprintln!("warning: a key on the command line shows in process lists; use `certctl login` or CERTCTL_API_KEY");
    }
    let call = Call { noun, verb, matches, global, env };
    (verb.run)(&call)
}

/// Runs one command line and gives its exit code.
pub(crate) fn main(line: impl IntoIterator<Item = OsString>, env: Env) -> u8 {
    let matches = match tree().try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let global = match global_of(&matches) {
        Ok(global) => global,
        Err(error) => {
            let _ = error.print();
            return 2;
        }
    };
    match perform(&matches, &global, env) {
        Ok(()) | Err(Failure::ClosedPipe) => 0,
        Err(failure) => {
            tell(&failure, &global);
            failure.exit_code()
        }
    }
}

fn tell(failure: &Failure, global: &Global) {
    if global.output.or(global.format) == Some(Format::Json) {
        eprintln!("{}", failure.to_json());
        return;
    }
    let text: Vec<String> = failure.to_string().lines().map(render::safe).collect();
    eprintln!("error: {}", text.join("\n"));
    if let Failure::Untrusted { .. } = failure {
        eprintln!("  give its authority with --ca-bundle FILE, or pin it with `certctl login --ca-fingerprint SHA256`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<ArgMatches, clap::Error> {
        tree().try_get_matches_from(line.split_whitespace())
    }

    fn each_leaf(command: &Command, path: &str, check: &mut dyn FnMut(&str, &Command)) {
        let mut any = false;
        for inner in command.get_subcommands() {
            any = true;
            each_leaf(inner, &format!("{path} {}", inner.get_name()), check);
        }
        if !any {
            check(path, command);
        }
    }

    #[test]
    fn the_tree_is_sound() {
        tree().debug_assert();
    }

    #[test]
    fn every_command_helps_with_purpose_examples_permission_and_exit_codes() {
        let mut count = 0;
        each_leaf(&tree(), "certctl", &mut |path, command| {
            count += 1;
            let after = command.get_after_help().expect(path).to_string();
            assert!(command.get_about().is_some(), "{path}");
            assert_eq!(after.matches("\n  certctl ").count(), 2, "{path}: {after}");
            assert!(!after.contains(['{', '}']), "{path}: {after}");
            let permission = after.lines().find_map(|line| line.strip_prefix("Permission: ")).expect(path);
            assert!(!permission.is_empty(), "{path}");
            assert!(after.contains("Exit codes: 0 success"), "{path}: {after}");
        });
        assert!(count > 60, "only {count} commands");
    }

    #[test]
    fn every_example_parses_to_its_own_command() {
        for noun in NOUNS.iter().copied().chain([ROOT]) {
            for verb in noun.verbs {
                for example in verb.examples {
                    let line = format!("{NAME} {}", fill(example, noun));
                    // What comes after a pipe or redirection belongs to the shell.
                    let line = line.split(['|', '<', '>']).next().unwrap_or_default().to_owned();
                    let matches = parsed(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                    let (_, found, _) = find(&matches).expect("leads to a verb");
                    assert_eq!(found.word, verb.word, "{line}");
                }
            }
        }
    }

    #[test]
    fn singular_and_plural_and_old_spellings_mean_the_same() {
        for line in [
            "certctl certs get c1",
            "certctl cert show c1",
            "certctl certificates get c1",
            "certctl certificate show c1",
        ] {
            let matches = parsed(line).unwrap();
            let (noun, verb, _) = find(&matches).unwrap();
            assert_eq!((noun.word, verb.word), ("certs", "get"), "{line}");
        }
        for noun in NOUNS {
            for alias in noun.aliases {
                let line = format!("certctl {alias} --help");
                assert!(!parsed(&line).expect_err("help").use_stderr(), "{line}");
            }
        }
    }

    #[test]
    fn usage_errors_end_in_two_and_help_in_zero() {
        let code = |line: &str| main(line.split_whitespace().map(OsString::from), &|_| None);
        // Neither network nor configuration is reached by any of these.
        for line in [
            "certctl nonsense",
            "certctl certs",
            "certctl certs get",
            "certctl certs list --nonsense",
            "certctl certs revoke c1 --reason nonsense",
        ] {
            assert_eq!(code(line), 2, "{line}");
        }
        assert_eq!(code("certctl certs list --help"), 0);
        assert_eq!(code("certctl certs list --server http://localhost"), 1);
    }

    #[test]
    fn profile_of_the_configuration_and_of_the_certificate_are_told_apart() {
        let profile = |line: &str| global_of(&parsed(line).unwrap()).unwrap().cli_profile;
        assert_eq!(profile("certctl certs list --profile prod").as_deref(), Some("prod"));
        assert_eq!(profile("certctl --profile prod certs issue --profile web").as_deref(), Some("prod"));
        assert_eq!(profile("certctl certs issue --profile web").as_deref(), None);
        assert_eq!(profile("certctl certs issue --profile web --cli-profile prod").as_deref(), Some("prod"));
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for line in [
            "certctl -o json certs list",
            "certctl certs -o json list",
            "certctl certs list -o json",
            "certctl certs list --format json",
            "certctl --format json certs list",
        ] {
            let matches = parsed(line).unwrap();
            let global = global_of(&matches).unwrap();
            assert_eq!(global.output.or(global.format), Some(Format::Json), "{line}");
        }
    }
}
