//! OCSP answers.

use crate::{Responder, SerialStatus, StatusSettings};
use certctl_kernel::Timestamp;
use certctl_x509::ocsp::{self, CertId, ErrorStatus, OcspRequest, ResponseTemplate, SingleAnswer, Status};

/// A signed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The response.
    pub der: Vec<u8>,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// True when it says something that others may be told too: no nonce, and every serial was issued.
    pub shareable: bool,
}

/// The responder that the request is meant for: all its certificates must be of one CA generation of the issuer.
pub fn responder_for<'a>(request: &OcspRequest, responders: &'a [Responder]) -> Result<&'a Responder, ErrorStatus> {
    let speaks_for = |responder: &&Responder| {
        request.entries.iter().all(|entry| responder.ca.hashes.matches(entry.hash, &entry.name_hash, &entry.key_hash))
    };
    responders.iter().find(speaks_for).ok_or(ErrorStatus::Unauthorized)
}

/// Signs the answer to the entries, whose statuses are given in their order.
pub fn answer(
    entries: &[CertId],
    statuses: &[SerialStatus],
    nonce: Option<Vec<u8>>,
    responder: &Responder,
    settings: &StatusSettings,
    now: Timestamp,
) -> Result<Answer, ErrorStatus> {
    let seconds = |at: Timestamp| at.replace_nanosecond(0).map_err(|_| ErrorStatus::InternalError);
    // Backdated, but not before the revocation that the answer tells of.
    let newest = statuses.iter().filter_map(|status| match status {
        SerialStatus::Revoked { at, .. } => Some(*at),
        SerialStatus::Good | SerialStatus::Unknown => None,
    });
    let this_update = seconds(newest.max().unwrap_or(now - settings.backdate).max(now - settings.backdate).min(now))?;
    let next_update = (this_update + settings.ocsp_validity).min(responder.not_after).min(responder.ca.not_after);
    if entries.len() != statuses.len() || next_update <= now {
        return Err(ErrorStatus::TryLater);
    }
    let shareable = nonce.is_none() && !statuses.contains(&SerialStatus::Unknown);
    let answers = entries
        .iter()
        .zip(statuses)
        .map(|(entry, status)| SingleAnswer {
            cert_id: entry.raw.clone(),
            status: match status {
                SerialStatus::Good => Status::Good,
                SerialStatus::Revoked { at, reason } => {
                    Status::Revoked { at: (*at).min(this_update), reason: reason.code() }
                }
                SerialStatus::Unknown => Status::Unknown,
            },
            this_update,
            next_update,
        })
        .collect();
    let template = ResponseTemplate {
        answers,
        produced_at: seconds(now)?,
        responder_cert: Some(responder.cert_der.clone()),
        nonce,
    };
    let der = ocsp::build_response(&template, responder.key.as_ref()).map_err(|_| ErrorStatus::InternalError)?;
    Ok(Answer { der, this_update, next_update, shareable })
}
