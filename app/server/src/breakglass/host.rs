//! Looking after the emergency way in from the host, straight in the database: it must work when nobody can sign in.

use crate::attached::Attached;
use crate::boot::{self, BootError};
use crate::config::Config;
use certctl_breakglass::password::{self, SALT};
use certctl_breakglass::{
    Cost, CreateAccount, Password, StoredCredential, Window, close_window, create_account, list_credentials, list_keys,
    open_window, remove_account, remove_key, set_password, unlock,
};
use certctl_kernel::{Actor, ActorType, DomainError, Secret, Timestamp, timestamp};
use certctl_ports::Ambient;
use certctl_postgres::Postgres;
use certctl_rbac::Caller;
use certctl_session::{RevokedReason, revoke_of};
use certctl_unit_of_work::{Database as _, Stores};
use clap::{Args, Subcommand};
use data_encoding::BASE32_NOPAD;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use zeroize::Zeroizing;

#[derive(Subcommand)]
pub(crate) enum BreakglassCommand {
    /// Make an emergency account with roles and a password of its own.
    Create {
        /// What is typed at sign-in, such as drill-1.
        id: String,
        /// Role to grant, such as admin; repeat for several.
        #[arg(long = "role", required = true)]
        roles: Vec<String>,
        /// For people.
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// Set another password; forgets failures and ends the account's sessions.
    SetPassword {
        /// The account.
        id: String,
        #[command(flatten)]
        password: NewPassword,
    },
    /// List accounts with their failures, locks and security keys.
    List,
    /// Forget an account's failures and lock.
    Unlock {
        /// The account.
        id: String,
    },
    /// Remove an account for good: its password, security keys, roles and sessions. The trail keeps its name.
    Remove {
        /// The account.
        id: String,
        /// Only tell what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// List an account's security keys.
    Keys {
        /// The account.
        id: String,
    },
    /// Remove one security key of an account, such as a lost one; ends the account's sessions.
    RemoveKey {
        /// The account.
        id: String,
        /// The key's id, as `keys` lists it.
        key: String,
        /// Only tell what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Let emergency accounts sign in for a time.
    Enable {
        /// For how long, such as 2h; at most CERTCTL_BREAKGLASS_MAX_ACTIVATION.
        #[arg(long = "for", default_value = "1h", value_parser = length)]
        length: time::Duration,
        /// Why; goes into the trail.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let nobody sign in any more. It stays so over restarts, until `enable`.
    Disable {
        /// End the sessions of every account as well.
        #[arg(long)]
        end_sessions: bool,
        /// Only tell what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Tell whether emergency accounts may sign in, and until when.
    Status,
}

/// Where a password comes from: a prompt, or the first line of standard input where that is no terminal.
#[derive(Args)]
pub(crate) struct NewPassword {
    /// Make one and show it once.
    #[arg(long)]
    generate: bool,
}

fn length(text: &str) -> Result<time::Duration, String> {
    let length = crate::config::duration(text).and_then(|length| time::Duration::try_from(length).ok());
    length.ok_or_else(|| "must be a duration such as 90m or 2h".to_owned())
}

/// What the command did, and what it must say before anything else.
type Told = Result<(), Failed>;

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error("{0}")]
    Store(#[from] certctl_kernel::StoreError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error("{0}")]
    Password(String),
}

/// Runs a command.
pub(crate) async fn run(config: &Config, command: &BreakglassCommand) -> ExitCode {
    let ambient = boot::ambient();
    match carry_out(config, &ambient, command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(config: &Config, ambient: &Ambient, command: &BreakglassCommand) -> Told {
    // Asked for before the database is opened: a person at a prompt holds nothing up.
    let fresh = match command {
        BreakglassCommand::Create { password, .. } | BreakglassCommand::SetPassword { password, .. } => {
            Some(fresh_password(ambient, password)?)
        }
        _ => None,
    };
    let attached = Attached::open(config, ambient).await?;
    let host = Host { config, ambient, database: &attached.database };
    let outcome = host.dispatch(command, fresh.as_ref()).await;
    attached.close().await;
    outcome?;
    if let Some(Fresh { shown: Some(password), .. }) = &fresh {
        println!("password: {}", password.expose());
        eprintln!("it is not shown again; keep it where it can be reached without the identity provider");
    }
    Ok(())
}

/// A password, hashed; and as it was made, if we made it.
struct Fresh {
    hash: Secret<String>,
    shown: Option<Secret<String>>,
}

fn fresh_password(ambient: &Ambient, from: &NewPassword) -> Result<Fresh, Failed> {
    let text = if from.generate { generated(ambient) } else { read_password()? };
    let password = Password::new(text)?;
    let salt = ambient.octets::<SALT>();
    let hash = password::hash(password.secret(), &salt, Cost::FULL).map_err(|e| Failed::Password(e.to_string()))?;
    Ok(Fresh { hash, shown: from.generate.then(|| password.secret().clone()) })
}

/// 160 random bits in groups that can be read out and typed.
fn generated(ambient: &Ambient) -> Secret<String> {
    let mut octets = Zeroizing::new([0u8; 20]);
    ambient.random.fill(octets.as_mut());
    let letters = Zeroizing::new(BASE32_NOPAD.encode(octets.as_ref()).to_ascii_lowercase());
    let groups: Vec<&str> = (0..letters.len()).step_by(4).map(|at| &letters[at..at + 4]).collect();
    Secret::new(groups.join("-"))
}

fn read_password() -> Result<Secret<String>, Failed> {
    let failed = |error: std::io::Error| Failed::Password(format!("the password can't be read: {error}"));
    if std::io::stdin().is_terminal() {
        let first = Zeroizing::new(rpassword::prompt_password("New password: ").map_err(failed)?);
        let second = Zeroizing::new(rpassword::prompt_password("Once more: ").map_err(failed)?);
        if first != second {
            return Err(Failed::Password("the two passwords differ".to_owned()));
        }
        return Ok(Secret::new(first.to_string()));
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The host's own hand on the database.
struct Host<'a> {
    config: &'a Config,
    ambient: &'a Ambient,
    database: &'a Postgres,
}

impl Host<'_> {
    /// Whoever runs commands here may do everything; the trail tells which account of the host it was.
    fn caller(command: &str) -> Caller {
        Caller::system(format!("command:breakglass-{command} uid={}", rustix::process::getuid().as_raw()))
    }

    async fn dispatch(&self, command: &BreakglassCommand, fresh: Option<&Fresh>) -> Told {
        match command {
            BreakglassCommand::Create { id, roles, name, .. } => {
                let hash = fresh.map(|fresh| fresh.hash.clone()).ok_or_else(no_password)?;
                let wanted = CreateAccount { id: id.clone(), name: name.clone(), hash, roles: roles.clone() };
                let caller = Self::caller("create");
                self.change(async |tx| create_account(tx, self.ambient, &caller, wanted).await.map(|_| ())).await?;
                println!("{id} may sign in while the window is open");
                self.warn_unless_mounted();
            }
            BreakglassCommand::SetPassword { id, .. } => {
                let hash = &fresh.ok_or_else(no_password)?.hash;
                let caller = Self::caller("set-password");
                self.change(async |tx| set_password(tx, self.ambient, &caller, id, hash).await.map(|_| ())).await?;
                println!("{id} has another password");
            }
            BreakglassCommand::List => self.list().await?,
            BreakglassCommand::Unlock { id } => {
                let caller = Self::caller("unlock");
                self.change(async |tx| unlock(tx, &caller, id).await).await?;
                println!("{id} is not locked");
            }
            BreakglassCommand::Remove { id, dry_run } => {
                let caller = Self::caller("remove");
                let work = async |tx: &mut dyn Stores| remove_account(tx, self.ambient, &caller, id).await;
                self.change_or_try(*dry_run, work).await?;
                println!("{id} {} removed", if *dry_run { "would be" } else { "is" });
            }
            BreakglassCommand::Keys { id } => {
                let caller = Self::caller("keys");
                let mut unit = self.database.read().await?;
                for key in list_keys(unit.stores(), &caller, Some(id)).await? {
                    let used = key.last_used_at.map_or_else(|| "never".to_owned(), whole);
                    println!("{}  {}  registered {}  used {used}", key.id, key.name, whole(key.created_at));
                }
            }
            BreakglassCommand::RemoveKey { id, key, dry_run } => {
                let caller = Self::caller("remove-key");
                let work = async |tx: &mut dyn Stores| remove_key(tx, self.ambient, &caller, id, key).await;
                self.change_or_try(*dry_run, work).await?;
                println!("{key} of {id} {} removed", if *dry_run { "would be" } else { "is" });
            }
            BreakglassCommand::Enable { length, reason } => self.enable(*length, reason).await?,
            BreakglassCommand::Disable { end_sessions, dry_run } => self.disable(*end_sessions, *dry_run).await?,
            BreakglassCommand::Status => self.status().await?,
        }
        Ok(())
    }

    async fn change<T>(&self, work: impl AsyncFnOnce(&mut dyn Stores) -> Result<T, DomainError>) -> Result<T, Failed> {
        self.change_or_try(false, work).await
    }

    /// Does the work in a transaction with its events, or, for a trial, in one that is thrown away.
    async fn change_or_try<T>(
        &self,
        trial: bool,
        work: impl AsyncFnOnce(&mut dyn Stores) -> Result<T, DomainError>,
    ) -> Result<T, Failed> {
        let mut unit = self.database.begin().await?;
        match work(unit.stores()).await {
            Ok(done) if trial => {
                unit.discard().await?;
                Ok(done)
            }
            Ok(done) => {
                unit.save().await?;
                Ok(done)
            }
            Err(error) => {
                unit.discard().await?;
                Err(error.into())
            }
        }
    }

    async fn enable(&self, length: time::Duration, reason: &str) -> Told {
        let caller = Self::caller("enable");
        let most = time::Duration::try_from(self.config.breakglass.max_activation).unwrap_or(time::Duration::MAX);
        let window =
            self.change(async |tx| open_window(tx, self.ambient, &caller.context, length, most, reason).await).await?;
        println!("emergency accounts may sign in until {}", whole(window.closes_at));
        self.warn_unless_mounted();
        Ok(())
    }

    async fn disable(&self, end_sessions: bool, dry_run: bool) -> Told {
        let caller = Self::caller("disable");
        let work = async |tx: &mut dyn Stores| {
            let was_open = close_window(tx, self.ambient, &caller.context).await?.is_some();
            let mut ended = 0;
            if end_sessions {
                for credential in list_credentials(tx, &caller).await? {
                    let actor = Actor::new(credential.person.id, ActorType::User);
                    ended += revoke_of(tx, self.ambient, &caller.context, &actor, RevokedReason::Admin).await?;
                }
            }
            Ok((was_open, ended))
        };
        let (was_open, ended) = self.change_or_try(dry_run, work).await?;
        let verb = if dry_run { "would be" } else { "is" };
        println!("emergency sign-in {verb} closed{}", if was_open { "" } else { ", as it was" });
        if end_sessions {
            println!("{ended} sessions {}", if dry_run { "would end" } else { "ended" });
        }
        Ok(())
    }

    async fn list(&self) -> Told {
        let caller = Self::caller("list");
        let now = self.ambient.now();
        let credentials = {
            let mut unit = self.database.read().await?;
            list_credentials(unit.stores(), &caller).await?
        };
        println!("{:<32} {:<10} {:>4} {:<21} {:<21} name", "account", "state", "keys", "password of", "locked until");
        let mut out = std::io::stdout().lock();
        for credential in credentials {
            let StoredCredential { person, display_name, last_password_change_at, lockout, security_keys, .. } =
                credential;
            let state =
                if person.active { standing(lockout.locked(now), lockout.failures) } else { "ended".to_owned() };
            let until = lockout.locked_until.filter(|until| *until > now).map(whole);
            let (set, until) = (whole(last_password_change_at), until.unwrap_or_default());
            let row =
                writeln!(out, "{:<32} {state:<10} {security_keys:>4} {set:<21} {until:<21} {display_name}", person.id);
            if row.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn status(&self) -> Told {
        let (window, accounts) = {
            let mut unit = self.database.read().await?;
            let window = unit.stores().breakglass_window().await?;
            (window, list_credentials(unit.stores(), &Self::caller("status")).await?)
        };
        println!("{}", in_words(window, self.ambient.now()));
        let usable = accounts.iter().filter(|credential| credential.person.active).count();
        println!("accounts: {usable}");
        self.warn_unless_mounted();
        Ok(())
    }

    fn warn_unless_mounted(&self) {
        if !self.config.breakglass.enabled {
            eprintln!(
                "warning: CERTCTL_BREAKGLASS_ENABLED is not set here; a server with these settings does not have the \
                 emergency sign-in at all"
            );
        }
    }
}

/// To the second; nobody reads more.
fn whole(at: Timestamp) -> String {
    timestamp::to_rfc3339(at.replace_nanosecond(0).unwrap_or(at))
}

fn no_password() -> Failed {
    Failed::Password("there is no password".to_owned())
}

fn standing(locked: bool, failures: u32) -> String {
    match (locked, failures) {
        (true, _) => "locked".to_owned(),
        (false, 0) => "ready".to_owned(),
        (false, failures) => format!("{failures} wrong"),
    }
}

fn in_words(window: Option<Window>, now: Timestamp) -> String {
    let Some(window) = window else { return "emergency sign-in was never opened".to_owned() };
    let at = whole;
    if window.open(now) {
        let by = window.opened_by.as_str();
        return format!(
            "emergency sign-in is open until {}, since {} ({by})",
            at(window.closes_at),
            at(window.opened_at)
        );
    }
    match window.closed_at {
        Some(closed) => format!("emergency sign-in was closed by hand at {}; restarts don't open it", at(closed)),
        None => format!("emergency sign-in ran out at {}", at(window.closes_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_password_can_be_typed_and_is_another_each_time() {
        let made = || generated(&boot::ambient());
        let (one, two) = (made(), made());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), 39);
        assert!(one.expose().split('-').all(|group| group.len() == 4));
        assert!(Password::new(one).is_ok());
    }
}
