//! Sealing everything anew under the first key of the ring, batch by batch.
//!
//! A batch takes only values that are not under that key yet, so a run that was cut short is taken up by the next. A
//! value is replaced only while it is what was read: whoever changes it at the same time wins, and sealed under the
//! right key anyway.

use crate::{SealedCell, SealedColumn, SecretStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext};
use certctl_ports::{SealError, SealedForm, SealingKeys};
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZeroU16;

/// A value that could not be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The row.
    pub row_id: String,
    /// Its form.
    pub form: SealedForm,
    /// Why.
    pub reason: SealError,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// The last row looked at; `None` when there was none.
    pub last: Option<String>,
    /// Values moved (or, in a trial, that would be), by their form before.
    pub moved: BTreeMap<SealedForm, u64>,
    /// Values that somebody changed meanwhile; they need nothing.
    pub changed: u64,
    /// Values that do not open.
    pub failures: Vec<Failure>,
}

impl BatchReport {
    /// Values moved.
    pub fn total(&self) -> u64 {
        self.moved.values().sum()
    }
}

/// Tells what [`reseal_batch`] would do: opens every value and changes none.
pub async fn try_batch(
    tx: &mut (impl SecretStore + ?Sized),
    keys: &dyn SealingKeys,
    column: SealedColumn,
    after: &str,
    limit: NonZeroU16,
) -> Result<BatchReport, DomainError> {
    let mut report = BatchReport::default();
    for cell in tx.sealed_under_others(column, keys.writing(), after, limit.get().into()).await? {
        let form = SealedForm::of(&cell.blob);
        match keys.open_any(&cell.blob, column.cell(&cell.row_id)) {
            Ok(_) => *report.moved.entry(form).or_default() += 1,
            Err(reason) => report.failures.push(Failure { row_id: cell.row_id.clone(), form, reason }),
        }
        report.last = Some(cell.row_id);
    }
    Ok(report)
}

/// Moves one batch of a column. The transaction holds its event, if anything moved; whoever began it saves it.
pub async fn reseal_batch(
    tx: &mut (impl SecretStore + AuditLog + ?Sized),
    keys: &dyn SealingKeys,
    context: &RequestContext,
    column: SealedColumn,
    after: &str,
    limit: NonZeroU16,
) -> Result<BatchReport, DomainError> {
    let mut report = BatchReport::default();
    let cells = tx.sealed_under_others(column, keys.writing(), after, limit.get().into()).await?;
    // First everything that takes long, then the rows: they are locked from the first replacement to the end.
    let mut fresh = Vec::with_capacity(cells.len());
    for cell in cells {
        let form = SealedForm::of(&cell.blob);
        report.last = Some(cell.row_id.clone());
        match again(keys, column, &cell) {
            Ok(blob) => fresh.push((cell, form, blob)),
            Err(reason) => report.failures.push(Failure { row_id: cell.row_id, form, reason }),
        }
    }
    for (cell, form, blob) in fresh {
        if tx.replace_sealed(column, &cell.row_id, &cell.blob, &blob).await? {
            *report.moved.entry(form).or_default() += 1;
        } else {
            report.changed += 1;
        }
    }
    if report.total() > 0 {
        let from: BTreeMap<String, u64> = report.moved.iter().map(|(form, n)| (form.to_string(), *n)).collect();
        let details = json!({"values": report.total(), "from": from, "to": keys.writing().to_string()});
        tx.record(AuditEvent::new(Action::SecretsResealed, context, column.to_string(), details)).await?;
    }
    Ok(report)
}

fn again(keys: &dyn SealingKeys, column: SealedColumn, cell: &SealedCell) -> Result<Vec<u8>, SealError> {
    let context = column.cell(&cell.row_id);
    let plaintext = keys.open_any(&cell.blob, context)?;
    keys.seal(&plaintext, context)
}
