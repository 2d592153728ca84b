//! The table of commands: what can be named, what can be done with it, and what its fields are.

mod access;
mod agents;
mod apply_auth;
mod approvals;
mod audit;
mod certs;
mod crud;
mod doctor;
mod fields;
mod inventory;
mod issue;
mod jobs;
mod local;
mod people;
mod preview;
mod providers;
mod revoke;
mod roles;
mod sessions;
mod sign_in;

use crate::failure::Failure;
use crate::render::Shape;
use crate::run::Call;
use clap::Command;

pub(crate) use fields::{Field, Kind, body_of};

/// Something that has verbs.
#[derive(Debug)]
pub(crate) struct Noun {
    /// The word on the command line.
    pub(crate) word: &'static str,
    /// Other spellings of it.
    pub(crate) aliases: &'static [&'static str],
    /// One of it, in messages.
    pub(crate) singular: &'static str,
    /// First line of its help.
    pub(crate) about: &'static str,
    /// Collection on the server.
    pub(crate) path: &'static str,
    /// Single objects can be read by id.
    pub(crate) has_get: bool,
    /// Objects have a `name`, accepted wherever the id is.
    pub(crate) named: bool,
    /// The list takes `q`.
    pub(crate) searchable: bool,
    /// The list takes `fields`.
    pub(crate) projects: bool,
    /// Its columns.
    pub(crate) shape: Shape,
    /// Fields of its input.
    pub(crate) fields: &'static [Field],
    /// Filters of its list: flag (and query parameter with `_`), help.
    pub(crate) filters: &'static [(&'static str, &'static str)],
    /// Permissions of the four plain verbs: read, edit (create and update), delete.
    pub(crate) permissions: [&'static str; 3],
    /// What can be done with it.
    pub(crate) verbs: &'static [&'static Verb],
}

impl Noun {
    /// A noun to fill in.
    pub(crate) const EMPTY: Self = Self {
        word: "",
        aliases: &[],
        singular: "",
        about: "",
        path: "",
        has_get: true,
        named: false,
        searchable: false,
        projects: false,
        shape: Shape { narrow: &[], wide: &[], name: "id" },
        fields: &[],
        filters: &[],
        permissions: ["", "", ""],
        verbs: &[],
    };
}

/// Which permission a verb needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Needs {
    /// The noun's permission to read.
    Read,
    /// The noun's permission to edit.
    Edit,
    /// The noun's permission to delete.
    Delete,
    /// This one.
    Permission(&'static str),
    /// Any signed-in caller.
    Credential,
    /// Nothing.
    Nothing,
}

/// Something that can be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verb {
    pub(crate) word: &'static str,
    pub(crate) aliases: &'static [&'static str],
    /// Purpose in a line; `{one}` and `{many}` stand for the noun.
    pub(crate) about: &'static str,
    pub(crate) needs: Needs,
    /// Two command lines without the program's name; `{noun}` stands for the noun.
    pub(crate) examples: [&'static str; 2],
    /// Exit codes beyond those of every command.
    pub(crate) exits: &'static [u8],
    pub(crate) args: fn(Command, &'static Noun) -> Command,
    pub(crate) run: fn(&Call) -> Result<(), Failure>,
}

/// A verb without arguments.
pub(crate) fn no_args(command: Command, _: &'static Noun) -> Command {
    command
}

/// Takes the arguments of a derived struct.
pub(crate) fn args_of<A: clap::Args>(command: Command, _: &'static Noun) -> Command {
    A::augment_args(command)
}

/// Every noun.
pub(crate) static NOUNS: &[&Noun] = &[
    &certs::CERTS,
    &inventory::ISSUERS,
    &inventory::PROFILES,
    &inventory::OWNERS,
    &inventory::TEAMS,
    &inventory::RENEWAL_POLICIES,
    &inventory::TARGETS,
    &agents::AGENTS,
    &jobs::JOBS,
    &approvals::APPROVALS,
    &access::KEYS,
    &sessions::SESSIONS,
    &audit::AUDIT,
    &access::AUTH,
    &doctor::DOCTOR,
    &access::SERVER,
    &local::CONFIG,
];

/// Verbs that stand alone.
pub(crate) static ROOT: &Noun = &Noun {
    verbs: &[&sign_in::LOGIN, &sign_in::LOGOUT, &sign_in::BOOTSTRAP, &local::COMPLETION, &local::VERSION],
    ..Noun::EMPTY
};

/// The noun that a reference field points to.
pub(crate) fn noun(word: &str) -> Option<&'static Noun> {
    NOUNS.iter().copied().find(|noun| noun.word == word)
}
