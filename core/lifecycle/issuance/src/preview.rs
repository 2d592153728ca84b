//! What would be issued, and what speaks against it; nothing is written and no CA key is used.

use crate::issue::{APPROVAL_REQUIRED, draw_serial, scopes_of};
use certctl_audit::AuditLog;
use certctl_ca::{
    AuthorizedLeaf, CaStore, CertificateFacts, IssuingFacts, Lend, PolicyInput, ProfileFacts, authorize, leaf_template,
    refusals,
};
use certctl_inventory::CertificateStore;
use certctl_kernel::{DomainError, FieldError, Timestamp};
use certctl_port_issuer::IssuerRegistry;
use certctl_ports::{Ambient, Announcer, KeyAlgorithm, KeyGenerator, SigningKey};
use certctl_profile::{Profile, ProfileStore};
use certctl_rbac::{Caller, Permission};
use certctl_x509::ca::IssuerFacts;
use certctl_x509::csr::{self, CsrError, ParsedCsr};
use certctl_x509::{ca, leaf, pem};
use time::Duration;

/// What a certificate would be issued for: a managed one, or names as if there were one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A certificate under management.
    Managed(String),
    /// One that is not there.
    Imagined {
        /// Wanted common name; may be empty.
        common_name: String,
        /// Wanted alternative names.
        sans: Vec<String>,
        /// Who would sign it.
        issuer_id: String,
        /// What it may contain.
        profile_id: Option<String>,
    },
}

/// A question.
#[derive(Debug, Clone)]
pub struct PreviewIssuance {
    /// For what.
    pub subject: Subject,
    /// The request, PEM; without one, the rules about keys and requests are left out.
    pub csr_pem: Option<String>,
    /// A shorter lifetime than the issuer's and profile's.
    pub lifetime: Option<Duration>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Every rule that speaks against it; empty when it would be issued.
    pub refusals: Vec<FieldError>,
    /// Whether a second person would have to approve.
    pub needs_approval: bool,
    /// What would be issued; the serial is another each time.
    pub leaf: Option<AuthorizedLeaf>,
    /// The certificate as it would look, PEM, signed by a key that was thrown away: nobody trusts it.
    pub sample_pem: Option<String>,
}

struct Wanted {
    id: String,
    common_name: String,
    sans: Vec<String>,
    issuer_id: String,
    profile_id: Option<String>,
}

/// Tells what would be issued. Needs `cert.issue` for the issuer and profile. Run it in a transaction and discard that:
/// a local CA without a root makes one to answer with.
///
/// Fails with not found (404) for a certificate or issuer that is not there, and as the issuer fails when it can't sign.
pub async fn preview_issuance(
    tx: &mut (impl CertificateStore + ProfileStore + CaStore + AuditLog + Announcer + ?Sized),
    issuers: &dyn IssuerRegistry,
    keys: &dyn KeyGenerator,
    ambient: &Ambient,
    caller: &Caller,
    question: PreviewIssuance,
) -> Result<Preview, DomainError> {
    let wanted = wanted(tx, caller, question.subject).await?;
    let profile = match &wanted.profile_id {
        Some(id) => tx.profile(id).await?,
        None => None,
    };
    let profile_facts = match (&wanted.profile_id, &profile) {
        (None, _) => ProfileFacts::None,
        (Some(_), Some(profile)) => ProfileFacts::Found(profile),
        (Some(id), None) => ProfileFacts::Missing(id),
    };
    let issuer = issuers.issuer(&mut Lend(&mut *tx), &wanted.issuer_id).await?;
    let throw_away = throw_away_key(keys)?;
    let given = question.csr_pem.is_some();
    let (request, mut found) = match question.csr_pem {
        Some(text) => examine(&text),
        None => (Some(own_request(throw_away.as_ref())?), Vec::new()),
    };
    let Some(request) = request else {
        return Ok(Preview { refusals: found, needs_approval: false, leaf: None, sample_pem: None });
    };
    let input = PolicyInput {
        certificate: CertificateFacts { id: &wanted.id, common_name: &wanted.common_name, sans: &wanted.sans },
        profile: profile_facts,
        issuer: issuer.facts(),
        csr: &request,
        key_barred: given && tx.key_is_barred(&request.spki_sha256).await?,
        approval: None,
        requested_lifetime: question.lifetime,
        now: ambient.now(),
        serial: draw_serial(ambient),
    };
    let refused = refusals(&input);
    let needs_approval = refused.iter().any(|error| error.code == APPROVAL_REQUIRED);
    found.extend(refused.into_iter().filter(|error| {
        // Our own key is not what the profile is about.
        error.code != APPROVAL_REQUIRED && (given || error.field != "csr_pem")
    }));
    if !found.is_empty() {
        return Ok(Preview { refusals: found, needs_approval, leaf: None, sample_pem: None });
    }
    let leaf = describe(input, !given)?;
    let (sample_pem, lint) = match sample(&leaf, issuer.facts(), throw_away.as_ref(), ambient.now()) {
        Ok(der) => (Some(pem::encode(pem::CERTIFICATE, &der)), Vec::new()),
        Err(error) => (None, vec![FieldError::new("csr_pem", error.code(), error.to_string())]),
    };
    Ok(Preview { refusals: lint, needs_approval, leaf: Some(leaf), sample_pem })
}

async fn wanted(
    tx: &mut (impl CertificateStore + ?Sized),
    caller: &Caller,
    subject: Subject,
) -> Result<Wanted, DomainError> {
    let wanted = match subject {
        Subject::Managed(id) => {
            let certificate = tx.certificate(&id).await?.ok_or_else(|| DomainError::not_found("certificate", id))?;
            Wanted {
                id: certificate.id,
                common_name: certificate.common_name,
                sans: certificate.sans,
                issuer_id: certificate.issuer_id,
                profile_id: certificate.certificate_profile_id,
            }
        }
        Subject::Imagined { common_name, sans, issuer_id, profile_id } => {
            Wanted { id: String::new(), common_name, sans, issuer_id, profile_id }
        }
    };
    caller.require(Permission::CertIssue, &scopes_of(&wanted.issuer_id, wanted.profile_id.as_deref()))?;
    Ok(wanted)
}

pub(crate) fn csr_errors(errors: Vec<CsrError>) -> Vec<FieldError> {
    errors.into_iter().map(|error| FieldError::new("csr_pem", error.code, error.message)).collect()
}

fn examine(text: &str) -> (Option<ParsedCsr>, Vec<FieldError>) {
    match csr::examine(text) {
        Ok(request) => (Some(request), Vec::new()),
        Err(unsound) => (unsound.readable.map(|read| *read), csr_errors(unsound.errors)),
    }
}

fn throw_away_key(keys: &dyn KeyGenerator) -> Result<Box<dyn SigningKey>, DomainError> {
    let key = keys.generate(KeyAlgorithm::EcdsaP256).and_then(|der| keys.load_der(&der));
    key.map_err(|error| DomainError::Internal { reason: error.to_string() })
}

fn own_request(key: &dyn SigningKey) -> Result<ParsedCsr, DomainError> {
    let internal = |reason: String| DomainError::Internal { reason };
    let text = csr::build(key, None, &[]).map_err(|error| internal(error.to_string()))?;
    csr::parse(&text).map_err(|errors| internal(format!("{errors:?}")))
}

/// What is authorized, read off and thrown away. An approval that is still to be given, and a key of our own in place of
/// the one to come, do not stand in the way.
fn describe(input: PolicyInput<'_>, any_key: bool) -> Result<AuthorizedLeaf, DomainError> {
    let open;
    let input = match input.profile {
        ProfileFacts::Found(profile) => {
            let keys = if any_key { Vec::new() } else { profile.allowed_key_algorithms.clone() };
            open = Profile { requires_approval: false, allowed_key_algorithms: keys, ..profile.clone() };
            PolicyInput { profile: ProfileFacts::Found(&open), ..input }
        }
        _ => input,
    };
    authorize(&input).map(|authorization| authorization.leaf().clone()).map_err(DomainError::Unprocessable)
}

fn sample(
    wanted: &AuthorizedLeaf,
    facts: &IssuingFacts,
    key: &dyn SigningKey,
    now: Timestamp,
) -> Result<Vec<u8>, certctl_x509::Error> {
    let issuer = match &facts.ca {
        Some(record) => ca::load(&record.full_pem(), now)?.issuer(),
        None => return Err(certctl_x509::Error::Encode("a sample of an external issuer's certificate")),
    };
    let issuer = IssuerFacts { spki_der: key.public_key_spki().to_vec(), ..issuer };
    leaf::build(&leaf_template(wanted), &issuer, key)
}
