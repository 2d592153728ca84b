//! The one decision to issue.

use crate::validity::{self, Lifetime};
use crate::{CaRecord, CaState, Rules, StatusUrls};
use certctl_kernel::{FieldError, Timestamp};
use certctl_profile::{Eku, NameKind, Profile, RequestedName};
use certctl_x509::constraints::PathConstraints;
use certctl_x509::csr::ParsedCsr;
use certctl_x509::{KeyFacts, San, Serial, check_common_name, common_name_fits};
use std::sync::Arc;
use time::Duration;

/// What the decision needs to know of the managed certificate.
#[derive(Debug, Clone, Copy)]
pub struct CertificateFacts<'a> {
    /// Certificate id.
    pub id: &'a str,
    /// Wanted common name.
    pub common_name: &'a str,
    /// Wanted alternative names.
    pub sans: &'a [String],
}

/// The profile that the certificate names.
#[derive(Debug, Clone, Copy)]
pub enum ProfileFacts<'a> {
    /// It names none; the built-in rules hold.
    None,
    /// It names one that is not there; nothing is issued.
    Missing(&'a str),
    /// It names this one.
    Found(&'a Profile),
}

/// What the decision needs to know of the issuer.
#[derive(Debug, Clone)]
pub struct IssuingFacts {
    /// Issuer id.
    pub issuer_id: String,
    /// Whether it may issue.
    pub enabled: bool,
    /// The CA generation that signs, when the issuer is ours.
    pub ca: Option<Arc<CaRecord>>,
    /// Earliest end among the certificates of the chain.
    pub chain_not_after: Timestamp,
    /// What the CAs of the chain allow below them.
    pub constraints: PathConstraints,
    /// Lifetime of leaves when nothing asks for less.
    pub default_validity: Duration,
    /// How far notBefore of leaves lies in the past.
    pub backdate: Duration,
    /// Where the status of its certificates is found.
    pub urls: StatusUrls,
}

/// Everything that the decision looks at.
#[derive(Debug, Clone)]
pub struct PolicyInput<'a> {
    /// What is wanted.
    pub certificate: CertificateFacts<'a>,
    /// Under which rules.
    pub profile: ProfileFacts<'a>,
    /// From whom.
    pub issuer: &'a IssuingFacts,
    /// The request, already parsed and proved to hold its key.
    pub csr: &'a ParsedCsr,
    /// Whether the key must not be certified: blocked, compromised, or one of our own.
    pub key_barred: bool,
    /// The approval that a second person gave to this issuance, if there is one.
    pub approval: Option<ApprovalFacts<'a>>,
    /// A shorter lifetime that the caller asks for.
    pub requested_lifetime: Option<Duration>,
    /// The present.
    pub now: Timestamp,
    /// The serial to use, drawn at random.
    pub serial: Serial,
}

/// An approval as it is stored. It lets an issuance pass only if it was granted, was not used, has not ended, and is for
/// this certificate, profile and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalFacts<'a> {
    /// Its id.
    pub id: &'a str,
    /// The certificate it is for.
    pub certificate_id: &'a str,
    /// The profile it is for.
    pub profile_id: &'a str,
    /// The one key it is for, SHA-256 of the `SubjectPublicKeyInfo` in hex; `None` when any key will do.
    pub spki_sha256: Option<&'a str>,
    /// Whether a second person granted it.
    pub granted: bool,
    /// Whether a certificate was issued by it.
    pub used: bool,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl ApprovalFacts<'_> {
    fn covers(&self, input: &PolicyInput<'_>, profile_id: &str) -> bool {
        self.granted
            && !self.used
            && self.expires_at > input.now
            && self.certificate_id == input.certificate.id
            && self.profile_id == profile_id
            && self.spki_sha256.is_none_or(|key| key == input.csr.spki_sha256)
    }
}

/// The permission to sign exactly one certificate. Only [`authorize`] makes one, an issuer consumes it, and it can't be
/// copied.
///
/// ```compile_fail,E0451
/// fn forged(leaf: certctl_ca::AuthorizedLeaf) -> certctl_ca::IssuanceAuthorization {
///     certctl_ca::IssuanceAuthorization { leaf }
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn twice(authorization: certctl_ca::IssuanceAuthorization) {
///     let copy = authorization.clone();
/// }
/// ```
#[derive(Debug)]
pub struct IssuanceAuthorization {
    leaf: AuthorizedLeaf,
}

/// What was authorized, for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedLeaf {
    /// The managed certificate.
    pub certificate_id: String,
    /// The issuer.
    pub issuer_id: String,
    /// The CA generation that is to sign.
    pub ca_id: Option<String>,
    /// The profile it is issued under.
    pub profile_id: Option<String>,
    /// Serial number.
    pub serial: Serial,
    /// First instant of validity, whole seconds.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// Subject common name; absent when it is too long for a subject.
    pub common_name: Option<String>,
    /// Alternative names, the common name first.
    pub sans: Vec<San>,
    /// DER `SubjectPublicKeyInfo`, as in the request.
    pub spki_der: Vec<u8>,
    /// Kind and size of the key.
    pub key: KeyFacts,
    /// Extended key usages.
    pub ekus: Vec<Eku>,
    /// Whether the TLS feature extension is set.
    pub must_staple: bool,
    /// Whether the certificate is left out of CRLs because it is short-lived.
    pub revocation_exempt: bool,
    /// Where its status is found; empty when it is exempt.
    pub urls: StatusUrls,
    /// The approval that is used up by it; absent where the profile demands none.
    pub approval_id: Option<String>,
    /// What the operator should know, such as a clamped lifetime.
    pub warnings: Vec<String>,
}

impl IssuanceAuthorization {
    /// What was authorized.
    pub const fn leaf(&self) -> &AuthorizedLeaf {
        &self.leaf
    }
}

/// Every rule that the request breaks, for one that is refused anyway: it says what else is wrong, and never authorizes.
pub fn refusals(input: &PolicyInput<'_>) -> Vec<FieldError> {
    authorize(input).err().unwrap_or_default()
}

struct Refusals(Vec<FieldError>);

impl Refusals {
    fn add(&mut self, field: &str, code: &str, message: impl Into<String>) {
        self.0.push(FieldError::new(field, code, message));
    }
}

/// Decides. Every rule that the request breaks is reported, each with its code; nothing is signed unless there is none.
pub fn authorize(input: &PolicyInput<'_>) -> Result<IssuanceAuthorization, Vec<FieldError>> {
    let mut refusals = Refusals(Vec::new());
    let rules = Rules::of(input.profile);
    check_profile(input, &mut refusals);
    check_key(input, &rules, &mut refusals);
    let sans = names(input, &rules, &mut refusals);
    check_request_names(input.csr, &sans, &mut refusals);
    let common_name = common_name(input.certificate.common_name, &sans, &mut refusals);
    check_issuer(input, &mut refusals);
    for message in input.issuer.constraints.violations(&sans, common_name.is_some()) {
        refusals.add("sans", "name_constraint", message);
    }
    for eku in rules.ekus.iter().filter(|eku| !input.issuer.constraints.allows(crate::leaf::usage(**eku))) {
        let message = format!("a CA of the chain is not for {}", eku.as_str());
        refusals.add("certificate_profile_id", "name_constraint", message);
    }

    let revocation_exempt = rules.short_lived;
    let urls = if revocation_exempt { StatusUrls::default() } else { input.issuer.urls.clone() };
    if rules.must_staple && (urls.ocsp.is_empty() || !rules.ekus.contains(&Eku::ServerAuth)) {
        refusals.add(
            "certificate_profile_id",
            "must_staple_without_ocsp",
            "the profile demands stapling, which needs the serverAuth usage and an OCSP address of the issuer",
        );
    }
    if rules.ekus.contains(&Eku::TimeStamping) && rules.ekus.len() > 1 {
        refusals.add("certificate_profile_id", "eku_conflict", "timeStamping must be the only extended key usage");
    }
    let lifetime = validity::lifetime(&Lifetime {
        wanted: [Some(input.issuer.default_validity), rules.max_ttl, input.requested_lifetime],
        backdate: input.issuer.backdate,
        now: input.now,
        ca_not_before: input.issuer.ca.as_ref().map(|ca| ca.not_before),
        chain_not_after: input.issuer.chain_not_after,
    });
    let (not_before, not_after, clamped) = match lifetime {
        Ok(lifetime) => lifetime,
        Err(message) => {
            refusals.add("issuer_id", "issuer_expiring", message);
            (input.now, input.now, false)
        }
    };
    if !refusals.0.is_empty() {
        return Err(refusals.0);
    }
    let warnings =
        if clamped { vec!["the lifetime was cut to the end of the CA certificate".to_owned()] } else { vec![] };
    Ok(IssuanceAuthorization {
        leaf: AuthorizedLeaf {
            certificate_id: input.certificate.id.to_owned(),
            issuer_id: input.issuer.issuer_id.clone(),
            ca_id: input.issuer.ca.as_ref().map(|ca| ca.id.clone()),
            profile_id: rules.profile_id,
            serial: input.serial,
            not_before,
            not_after,
            common_name,
            sans,
            spki_der: input.csr.spki_der.clone(),
            key: input.csr.key,
            ekus: rules.ekus,
            must_staple: rules.must_staple,
            revocation_exempt,
            urls,
            approval_id: match input.profile {
                ProfileFacts::Found(profile) if profile.requires_approval => {
                    input.approval.map(|approval| approval.id.to_owned())
                }
                _ => None,
            },
            warnings,
        },
    })
}

fn check_profile(input: &PolicyInput<'_>, refusals: &mut Refusals) {
    let field = "certificate_profile_id";
    match input.profile {
        ProfileFacts::None => {}
        ProfileFacts::Missing(id) => refusals.add(field, "profile_missing", format!("profile {id} can't be read")),
        ProfileFacts::Found(profile) => {
            if !profile.enabled {
                refusals.add(field, "profile_disabled", format!("profile {} is disabled", profile.name));
            }
            let covered = input.approval.is_some_and(|approval| approval.covers(input, &profile.id));
            if profile.requires_approval && !covered {
                let message = format!("profile {} demands that a second person approves", profile.name);
                refusals.add(field, "approval_required", message);
            }
        }
    }
}

fn check_key(input: &PolicyInput<'_>, rules: &Rules<'_>, refusals: &mut Refusals) {
    if input.key_barred {
        refusals.add(
            "csr_pem",
            "key_blocked",
            "this key is blocked, was revoked as compromised, or is a key of this server; make a new one",
        );
    }
    if !rules.allows_key(input.csr.key) {
        let message = format!("{} keys of {} bits are not allowed here", input.csr.key.algorithm(), input.csr.key.size);
        refusals.add("csr_pem", "key_not_allowed", message);
    }
}

/// The names of the certificate: common name first, then the others in their order, each once.
fn names(input: &PolicyInput<'_>, rules: &Rules<'_>, refusals: &mut Refusals) -> Vec<San> {
    let wanted = input.certificate;
    let texts: Vec<&str> = std::iter::once(wanted.common_name)
        .filter(|name| !name.is_empty())
        .chain(wanted.sans.iter().map(String::as_str))
        .collect();
    let mut sans = match San::parse_list(&texts) {
        Ok(sans) => sans,
        Err(errors) => {
            for error in errors {
                refusals.add("sans", error.code, error.message);
            }
            return Vec::new();
        }
    };
    if let Some(uri) = rules.implied_uri(&sans) {
        match San::parse(uri) {
            Ok(name) => sans.push(name),
            Err(error) => refusals.add("sans", error.code, error.message),
        }
    }
    if sans.is_empty() {
        refusals.add("sans", "required", "the certificate has no name");
    }
    if let ProfileFacts::Found(profile) = input.profile {
        let mut requested: Vec<RequestedName> = sans.iter().map(requested_name).collect();
        if common_name_fits(wanted.common_name) && !wanted.common_name.is_empty() {
            let value = wanted.common_name.to_ascii_lowercase();
            requested.push(RequestedName { kind: NameKind::CommonName, value });
        }
        for error in profile.name_violations(&requested) {
            let code = if error.code == "wildcard_not_allowed" { error.code } else { "san_policy".to_owned() };
            refusals.0.push(FieldError { code, ..error });
        }
    }
    sans
}

fn requested_name(san: &San) -> RequestedName {
    let kind = match san {
        San::Dns(_) => NameKind::Dns,
        San::Ip(_) => NameKind::Ip,
        San::Email(_) => NameKind::Email,
        San::Uri(_) => NameKind::Uri,
    };
    RequestedName { kind, value: san.to_string() }
}

/// The request may leave names out; it may not add any.
fn check_request_names(csr: &ParsedCsr, authorized: &[San], refusals: &mut Refusals) {
    for name in csr.sans.iter().filter(|name| !authorized.contains(name)) {
        let message = format!("the request names {name}, which the certificate does not have");
        refusals.add("csr_pem", "san_not_authorised", message);
    }
    if let Some(common_name) = csr.common_name.as_deref().filter(|name| !name.is_empty()) {
        let known = San::parse(common_name).is_ok_and(|name| authorized.contains(&name));
        if !known {
            let shown: String = common_name.chars().take(80).collect();
            let message = format!("the request's common name {shown:?} is not a name of the certificate");
            refusals.add("csr_pem", "san_not_authorised", message);
        }
    }
}

fn common_name(wanted: &str, sans: &[San], refusals: &mut Refusals) -> Option<String> {
    if wanted.is_empty() || !common_name_fits(wanted) {
        return None;
    }
    // An unreadable name was reported with the others already.
    if !sans.is_empty()
        && let Err(error) = check_common_name(wanted, sans)
    {
        refusals.add("common_name", error.code, error.message);
    }
    Some(San::parse(wanted).map_or_else(|_| wanted.to_owned(), |name| name.to_string()))
}

fn check_issuer(input: &PolicyInput<'_>, refusals: &mut Refusals) {
    let issuer = input.issuer;
    if !issuer.enabled {
        refusals.add("issuer_id", "issuer_disabled", format!("issuer {} is disabled", issuer.issuer_id));
    }
    if let Some(ca) = &issuer.ca {
        if ca.state != CaState::Active {
            let message = format!("CA {} is {}; it signs no more certificates", ca.id, ca.state.as_str());
            refusals.add("issuer_id", "issuer_retired", message);
        }
        if input.now < ca.not_before {
            refusals.add("issuer_id", "issuer_not_yet_valid", format!("CA {} is not valid yet", ca.id));
        }
    }
}
