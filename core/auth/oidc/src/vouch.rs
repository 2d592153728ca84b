//! What a provider says of a person, asked and judged. Nothing here changes anything.

use crate::claims::{self, Expected, Identity};
use crate::pending::{Bound, Pending};
use crate::{
    AtHashPolicy, Failure, GroupsError, GroupsOverage, Provider, ProviderError, Registration, RelyingParty,
    groups_at_all,
};
use certctl_kernel::Secret;
use certctl_ports::{Ambient, SealError, Sealer};
use certctl_secrets::SealedColumn;
use serde_json::Value;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// What is asked of the browser that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrowserBinding {
    /// It must call itself as the one that began.
    pub user_agent: bool,
    /// It must come from the address that the other one came from.
    pub source_ip: bool,
}

/// The browser that comes back with the provider's answer.
#[derive(Debug, Clone, Copy)]
pub struct Browser<'a> {
    /// What it calls itself; empty when it does not say.
    pub user_agent: &'a str,
    /// Where it comes from.
    pub source_ip: Option<&'a str>,
    /// `state` of the answer.
    pub state: &'a str,
}

/// The browser that comes back must be the one that began.
pub fn check_browser(pending: &Pending, binding: BrowserBinding, browser: &Browser<'_>) -> Result<(), Failure> {
    if binding.user_agent {
        match pending.user_agent(browser.user_agent) {
            Bound::Same => {}
            Bound::Missing => return Err(Failure::PreLoginUserAgentMissing),
            Bound::Other => return Err(Failure::PreLoginUserAgentMismatch),
        }
    }
    if binding.source_ip {
        match pending.source_ip(browser.source_ip) {
            Bound::Same => {}
            Bound::Missing => return Err(Failure::PreLoginIpMissing),
            Bound::Other => return Err(Failure::PreLoginIpMismatch),
        }
    }
    if pending.state.matches(browser.state.as_bytes()) { Ok(()) } else { Err(Failure::StateMismatch) }
}

/// What the relying party must know of a provider; opens the client's secret.
pub fn registration(provider: &Provider, sealer: &dyn Sealer) -> Result<Registration, SealError> {
    let secret = sealer.open(&provider.sealed_client_secret, SealedColumn::OIDC_CLIENT_SECRET.cell(&provider.id))?;
    let text = std::str::from_utf8(&secret).map_err(|_| SealError::Broken)?;
    Ok(Registration {
        provider_id: provider.id.clone(),
        version: provider.row_version,
        issuer_url: provider.issuer_url.clone(),
        client_id: provider.client_id.clone(),
        client_secret: Secret::new(text.to_owned()),
        redirect_uri: provider.redirect_uri.clone(),
        scopes: provider.scopes.clone(),
        ca_bundle_pem: provider.ca_bundle_pem.clone(),
        jwks_ttl: Duration::from_secs(u64::try_from(provider.jwks_cache_ttl_seconds).unwrap_or_default()),
    })
}

/// A person whom a provider vouched for.
pub struct Vouched {
    /// Who.
    pub identity: Identity,
    /// With which groups.
    pub groups: Vec<String>,
    /// The token that says so.
    pub id_token: Secret<String>,
}

/// A sign-in that ends without a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The category.
    pub failure: Failure,
    /// Whom the provider vouched for, once it is known.
    pub subject: Option<String>,
    /// With which groups, once they are known.
    pub groups: Vec<String>,
    /// What operators read in the log; holds no secret.
    pub detail: String,
}

impl Refused {
    /// A refusal of nobody in particular.
    pub fn of(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, subject: None, groups: Vec::new(), detail: detail.into() }
    }

    fn by(failure: Failure, subject: &str, detail: impl Into<String>) -> Self {
        Self { subject: Some(subject.to_owned()), ..Self::of(failure, detail) }
    }
}

impl From<ProviderError> for Refused {
    fn from(error: ProviderError) -> Self {
        Self::of(error.failure(), error.to_string())
    }
}

/// A provider's answer to an authorization request (RFC 6749 section 4.1.2, RFC 9207).
pub struct Answer<'a> {
    /// `code`.
    pub code: &'a Secret<String>,
    /// `iss`, by the letter.
    pub issuer: Option<&'a str>,
}

/// Asks the provider and judges what it says, in the order of OpenID Connect Core section 3.1.3.7.
pub async fn vouch(
    party: &dyn RelyingParty,
    ambient: &Ambient,
    provider: &Provider,
    registration: &Registration,
    pending: &Pending,
    answer: &Answer<'_>,
) -> Result<Vouched, Refused> {
    if party.answers_with_issuer(registration).await? {
        let told = answer.issuer.ok_or_else(|| Refused::of(Failure::IssParamMissing, "the answer carries no iss"))?;
        if !bool::from(told.as_bytes().ct_eq(provider.issuer_url.as_bytes())) {
            return Err(Refused::of(Failure::IssParamMismatch, "the answer carries the iss of another provider"));
        }
    }
    let tokens = party.exchange(registration, answer.code, &pending.verifier).await?;
    let signed = party.verify(registration, tokens.id_token.expose()).await?;
    let expected = Expected {
        issuer: &provider.issuer_url,
        client_id: &provider.client_id,
        nonce: &pending.nonce,
        access_token: Some(&tokens.access_token),
        require_at_hash: provider.at_hash_policy == AtHashPolicy::Require,
        iat_window: u32::try_from(provider.iat_window_seconds).unwrap_or_default(),
        allowed_email_domains: &provider.allowed_email_domains,
        require_verified_email: provider.require_verified_email,
        now: ambient.now(),
    };
    let identity = claims::check(&signed.claims, signed.algorithm, &expected).map_err(|failure| Refused {
        // Whose token it is counts only when it is one for us.
        subject: claims::subject(&signed.claims).filter(|_| names_a_person(failure)).map(ToOwned::to_owned),
        ..Refused::of(failure, "the ID token was refused")
    })?;
    if !provider.hosted_domain.is_empty() {
        let told = identity.hosted_domain.as_deref().unwrap_or_default();
        if !told.eq_ignore_ascii_case(&provider.hosted_domain) {
            let detail = "the account does not belong to hosted_domain";
            return Err(Refused::by(Failure::EmailDomainNotAllowed, &identity.subject, detail));
        }
    }
    let asked = Asked { party, provider, registration, access_token: &tokens.access_token };
    let groups = match asked.groups(Value::Object(signed.claims), &identity.subject).await {
        Ok(groups) => groups,
        // A provider that knows no groups is worth its default role.
        Err((Failure::GroupsMissing, _)) if provider.default_role_id.is_some() => Vec::new(),
        Err((failure, detail)) => return Err(Refused::by(failure, &identity.subject, detail)),
    };
    Ok(Vouched { identity, groups, id_token: tokens.id_token })
}

/// Whether a token that fails so is otherwise one of this sign-in.
const fn names_a_person(failure: Failure) -> bool {
    matches!(failure, Failure::EmailMissingButRequired | Failure::EmailUnverified | Failure::EmailDomainNotAllowed)
}

struct Asked<'a> {
    party: &'a dyn RelyingParty,
    provider: &'a Provider,
    registration: &'a Registration,
    access_token: &'a Secret<String>,
}

impl Asked<'_> {
    fn at(&self, claims: &Value) -> Result<Vec<String>, GroupsError> {
        let more = self.provider.more_groups_claim_paths.iter().map(String::as_str);
        groups_at_all(claims, std::iter::once(self.provider.groups_claim_path.as_str()).chain(more))
    }

    /// The groups of the ID token, or else those of userinfo, or else those of Microsoft Graph, as far as each is asked.
    async fn groups(&self, claims: Value, subject: &str) -> Result<Vec<String>, (Failure, String)> {
        let first = match self.at(&claims) {
            Ok(groups) => return Ok(groups),
            Err(error) => error,
        };
        let mut reason = format!("{}: {first}", self.provider.groups_claim_path);
        if first == GroupsError::Overage {
            if self.provider.groups_overage == GroupsOverage::Refuse {
                return Err((Failure::GroupsOverage, reason));
            }
            let found = self.party.graph_groups(self.registration, self.access_token).await;
            return match found {
                Ok(groups) if !groups.is_empty() => Ok(groups),
                Ok(_) => Err((Failure::GroupsMissing, "Microsoft Graph lists no groups".to_owned())),
                Err(error) => Err((Failure::GroupsOverage, error.to_string())),
            };
        }
        if self.provider.fetch_userinfo {
            match self.party.userinfo(self.registration, self.access_token).await {
                // Userinfo of another person must not lend its groups (OpenID Connect Core section 5.3.2).
                Ok(info) if claims::subject(&info) != Some(subject) => {
                    "userinfo is another person's".clone_into(&mut reason);
                }
                Ok(info) => match self.at(&Value::Object(info)) {
                    Ok(groups) => return Ok(groups),
                    Err(GroupsError::Overage) => return Err((Failure::GroupsOverage, reason)),
                    Err(error) => reason = format!("userinfo, {}: {error}", self.provider.groups_claim_path),
                },
                Err(error) => reason = error.to_string(),
            }
        }
        Err((Failure::GroupsMissing, reason))
    }
}
