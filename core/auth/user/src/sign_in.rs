//! The person behind a sign-in that a provider vouched for.

use crate::{SubjectPepper, User, UserStore};
use certctl_kernel::{DEFAULT_TENANT, DomainError, Id, IdKind, StoreError};
use certctl_ports::Ambient;

/// The longest `sub` there is (OpenID Connect Core 1.0 §2), in characters.
const SUBJECT_MOST: usize = 255;
/// The longest address, in characters (RFC 5321 §4.5.3.1).
const EMAIL_MOST: usize = 254;
/// The longest name kept, in characters; longer ones are cut.
const NAME_MOST: usize = 255;

/// What a provider told of a person, verified.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// The provider.
    pub provider_id: &'a str,
    /// Its name for the person (`sub`).
    pub subject: &'a str,
    /// `email`, if it told one.
    pub email: Option<&'a str>,
    /// `name`.
    pub name: Option<&'a str>,
    /// `preferred_username`.
    pub preferred_username: Option<&'a str>,
    /// Groups, kept for people who look into why a role is or is not held.
    pub groups: &'a [String],
}

/// The person as it now stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// Whether this was the first time.
    pub first_time: bool,
}

/// Why a person was not let in; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The person is shut out, or was and their data has been removed since.
    #[error("the account {user_id} is deactivated")]
    Deactivated {
        /// Which account.
        user_id: Id,
    },
    /// `sub` is missing or longer than the protocol allows.
    #[error("the subject must have 1 to {SUBJECT_MOST} characters")]
    Subject,
    /// An address came that can't be one.
    #[error("the e-mail address of the provider is not plausible")]
    Email,
    /// Anything else.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        Self::Domain(error.into())
    }
}

/// Whether an address can be one: no blanks around it, one `@` with something on both sides, a dot in the domain.
pub fn plausible_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    text.trim() == text
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && text.chars().count() <= EMAIL_MOST
        && !local.is_empty()
        && !domain.contains('@')
        && domain.split('.').count() > 1
        && domain.split('.').all(|label| !label.is_empty())
}

/// The first name that says something, without control characters and not longer than is kept.
fn display_name(command: &SignIn<'_>, email: &str) -> String {
    [command.name, command.preferred_username, Some(email), Some(command.subject)]
        .into_iter()
        .flatten()
        .map(|text| text.chars().filter(|c| !c.is_control()).take(NAME_MOST).collect::<String>().trim().to_owned())
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// Finds the person that the provider vouches for, or makes it, and notes the sign-in. Accounts are told apart by
/// provider and subject alone. Of several first sign-ins of one person at once each finds the same row. The caller
/// records the event of the sign-in in the same transaction.
pub async fn sign_in(
    tx: &mut (impl UserStore + ?Sized),
    ambient: &Ambient,
    pepper: &SubjectPepper,
    command: SignIn<'_>,
) -> Result<SignedIn, SignInError> {
    if command.subject.is_empty() || command.subject.chars().count() > SUBJECT_MOST {
        return Err(SignInError::Subject);
    }
    let email = command.email.filter(|email| !email.is_empty()).unwrap_or_default();
    let lookup = pepper.lookup(command.provider_id, command.subject);
    let mut stored = tx.user_by_lookup_for_update(&lookup).await?;
    if stored.is_none() {
        tx.lock_lookup(&lookup).await?;
        stored = tx.user_by_lookup_for_update(&lookup).await?;
    }
    if let Some(user) = stored.as_ref().filter(|user| user.deactivated_at.is_some()) {
        return Err(SignInError::Deactivated { user_id: user.id.clone() });
    }
    if !email.is_empty() && !plausible_email(email) {
        return Err(SignInError::Email);
    }
    let now = ambient.now();
    let first_time = stored.is_none();
    let mut user = stored.unwrap_or_else(|| User {
        id: ambient.id(IdKind::User),
        tenant_id: DEFAULT_TENANT.to_owned(),
        email: String::new(),
        display_name: String::new(),
        oidc_provider_id: Some(command.provider_id.to_owned()),
        oidc_subject: Some(command.subject.to_owned()),
        subject_lookup: Some(lookup),
        idp_groups: Vec::new(),
        last_login_at: None,
        deactivated_at: None,
        purged_at: None,
        row_version: 1,
        created_at: now,
        updated_at: now,
    });
    email.clone_into(&mut user.email);
    user.display_name = display_name(&command, email);
    user.idp_groups = command.groups.to_vec();
    user.last_login_at = Some(now);
    user.updated_at = now;
    if first_time {
        tx.insert_user(&user).await?;
    } else {
        tx.update_user(&user).await?;
        user.row_version += 1;
    }
    Ok(SignedIn { user, first_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_ones_are_told() {
        for good in ["a@b.example", "o'neil+x@mail.corp.example", "jörg@bücher.example"] {
            assert!(plausible_email(good), "{good}");
        }
        let long = format!("{}@b.example", "a".repeat(250));
        for bad in [
            "",
            "a",
            "a@",
            "@b.example",
            "a@b",
            "a@@b.example",
            "a@b@c.example",
            " a@b.example",
            "a b@c.example",
            &long,
        ] {
            assert!(!plausible_email(bad), "{bad}");
        }
        assert!(
            !plausible_email("a@b..example") && !plausible_email("a@.example") && !plausible_email("a\u{7}@b.example")
        );
    }

    #[test]
    fn a_name_is_taken_from_what_says_something() {
        let told = |name, preferred_username, email: &str| {
            let command =
                SignIn { provider_id: "op-1", subject: "s-1", email: None, name, preferred_username, groups: &[] };
            display_name(&command, email)
        };
        assert_eq!(told(Some("Ada"), Some("ada"), "a@b.example"), "Ada");
        assert_eq!(told(Some(" \u{7}"), Some("ada"), "a@b.example"), "ada");
        assert_eq!(told(None, None, "a@b.example"), "a@b.example");
        assert_eq!(told(None, Some(""), ""), "s-1");
        assert_eq!(told(Some(&"x".repeat(300)), None, "").len(), NAME_MOST);
    }
}
