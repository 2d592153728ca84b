//! Checking an export against a checkpoint, without a server or a database.

use crate::canonical::HASH_VERSION;
use crate::checkpoint::{Checkpoint, CheckpointError, TrustedKeys};
use crate::export::{ExportLine, Skipped, Trailer};
use crate::tree::{PartialTree, check_inclusion, subtrees};
use serde::{Deserialize, Serialize};
use std::io::BufRead;
use tlog_tiles::tlog::Hash;

/// The longest line that is read; an event is far shorter.
const LONGEST_LINE: u64 = 16 << 20;
/// Name of the bundle's form.
const BUNDLE: &str = "certctl-audit-bundle/1";

/// What does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfflineError {
    /// The file can't be read.
    #[error("{0}")]
    Io(String),
    /// A line is not what exports hold.
    #[error("line {line}: {reason}")]
    Malformed {
        /// Its number, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
    /// The checkpoint can't be used.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// An event is not what was sealed.
    #[error("event {id} (number {seq}, line {line}) is not what was sealed")]
    EventChanged {
        /// Its line.
        line: u64,
        /// Its number.
        seq: u64,
        /// Its id.
        id: String,
    },
    /// Events are missing, repeated or out of order.
    #[error("line {line}: event {expected} of the log is missing here, number {found} follows")]
    Gap {
        /// The line.
        line: u64,
        /// The number that was to follow.
        expected: u64,
        /// The number that does.
        found: u64,
    },
    /// The export was cut: its trailer is missing or counts more events.
    #[error("the export is cut off: {0}")]
    CutOff(String),
    /// The export itself says that it is not all that was asked for.
    #[error("the export is incomplete by its own account: {0}")]
    Incomplete(String),
    /// The events are not those that the checkpoint was signed over.
    #[error("the first {size} events are not those under the checkpoint of {size} events")]
    Forked {
        /// Events under the checkpoint.
        size: u64,
    },
    /// The checkpoint lies beyond the export, or inside a run of events that it leaves out.
    #[error(
        "the export can't be compared with the checkpoint of {size} events: it covers {covered}; export anew, from the \
         first event for an older checkpoint"
    )]
    NotCovered {
        /// Events under the checkpoint.
        size: u64,
        /// Events that the export covers.
        covered: u64,
    },
    /// An event that was asked for is not in the export.
    #[error("event {0} is not in the export")]
    NoSuchEvent(String),
    /// A proof in a bundle does not hold.
    #[error("the proof of event {id} does not hold")]
    BadProof {
        /// Its id.
        id: String,
    },
}

/// What was checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Events whose content was hashed.
    pub events: u64,
    /// Events of the log that only their subtrees' roots stand for.
    pub skipped: u64,
    /// Events under the tree.
    pub size: u64,
    /// Its root, Base64.
    pub root: String,
    /// Sizes of the checkpoints that it was compared with, all equal.
    pub checkpoints: Vec<u64>,
    /// Number of the first event of the export.
    pub first_seq: Option<u64>,
    /// Number of the last.
    pub last_seq: Option<u64>,
}

/// An event with the proof that it is in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The event.
    pub event: ExportLine,
    /// The audit path (RFC 6962 §2.1.1), Base64.
    pub path: Vec<String>,
}

/// Events, their proofs and the checkpoint: all that somebody needs who has the verifier key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// `certctl-audit-bundle/1`
    pub format: String,
    /// The signed head that the proofs lead to.
    pub checkpoint: String,
    /// The events.
    pub events: Vec<Evidence>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Skipped {
        #[serde(rename = "_skipped")]
        skipped: Skipped,
    },
    Trailer {
        #[serde(rename = "_trailer")]
        trailer: Box<Trailer>,
    },
    Event(Box<ExportLine>),
}

fn hash(text: &str) -> Option<Hash> {
    Hash::parse_hash(text).ok()
}

/// Reads an export, event by event, into a tree.
struct Reading<'a> {
    tree: PartialTree,
    line: u64,
    events: u64,
    skipped: u64,
    first: Option<u64>,
    last: Option<u64>,
    trailer: Option<Trailer>,
    /// Checkpoints to compare with, and whether that was done.
    heads: Vec<(Checkpoint, bool)>,
    keep: &'a mut dyn FnMut(&ExportLine) -> bool,
    kept: Vec<ExportLine>,
}

impl Reading<'_> {
    fn malformed(&self, reason: impl Into<String>) -> OfflineError {
        OfflineError::Malformed { line: self.line, reason: reason.into() }
    }

    fn expect(&self, found: u64) -> Result<(), OfflineError> {
        let expected = self.tree.size();
        if found == expected { Ok(()) } else { Err(OfflineError::Gap { line: self.line, expected, found }) }
    }

    /// Compares with the checkpoints of exactly this size.
    fn compare(&mut self) -> Result<(), OfflineError> {
        let size = self.tree.size();
        for (head, done) in self.heads.iter_mut().filter(|(head, _)| head.size == size) {
            if head.root != self.tree.root() {
                return Err(OfflineError::Forked { size });
            }
            *done = true;
        }
        Ok(())
    }

    fn event(&mut self, event: ExportLine) -> Result<(), OfflineError> {
        self.expect(event.seq)?;
        if event.hash_version != HASH_VERSION {
            return Err(self.malformed(format!("hash version {} is not known here", event.hash_version)));
        }
        let computed = event.computed_hash();
        if hash(&event.leaf_hash) != Some(computed) {
            return Err(OfflineError::EventChanged { line: self.line, seq: event.seq, id: event.id });
        }
        self.tree.append(0, computed);
        self.events += 1;
        self.first.get_or_insert(event.seq);
        self.last = Some(event.seq);
        if (self.keep)(&event) {
            self.kept.push(event);
        }
        self.compare()
    }

    fn skip(&mut self, skipped: &Skipped) -> Result<(), OfflineError> {
        self.expect(skipped.from)?;
        if skipped.until <= skipped.from || skipped.until > 1 << 48 {
            return Err(self.malformed("a run of events that ends before it begins"));
        }
        let levels = subtrees(skipped.from, skipped.until);
        if levels.len() != skipped.roots.len() {
            return Err(self.malformed("another number of roots than the run of events has subtrees"));
        }
        for (level, root) in levels.into_iter().zip(&skipped.roots) {
            let root = hash(root).ok_or_else(|| self.malformed("a root that is no hash"))?;
            self.tree.append(level, root);
            self.compare()?;
        }
        self.skipped += skipped.until - skipped.from;
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<(), OfflineError> {
        if self.trailer.is_some() {
            return Err(self.malformed("something follows the trailer"));
        }
        match serde_json::from_str::<Line>(text) {
            Ok(Line::Event(event)) => self.event(*event),
            Ok(Line::Skipped { skipped }) => self.skip(&skipped),
            Ok(Line::Trailer { trailer }) => {
                self.trailer = Some(*trailer);
                Ok(())
            }
            Err(_) => Err(self.malformed("neither an event, nor a run of events left out, nor a trailer")),
        }
    }

    fn finish(&self) -> Result<Trailer, OfflineError> {
        let trailer = self.trailer.clone().ok_or_else(|| OfflineError::CutOff("it has no trailer".to_owned()))?;
        if trailer.rows != self.events || trailer.first_seq != self.first || trailer.last_seq != self.last {
            return Err(OfflineError::CutOff(format!("it has {} events of {}", self.events, trailer.rows)));
        }
        if let Some(error) = trailer.error.as_ref().filter(|error| *error != "limit") {
            return Err(OfflineError::Incomplete(error.clone()));
        }
        Ok(trailer)
    }
}

fn lines(
    mut reader: impl BufRead,
    mut each: impl FnMut(u64, &str) -> Result<(), OfflineError>,
) -> Result<(), OfflineError> {
    let mut text = String::new();
    let mut number = 0;
    loop {
        text.clear();
        number += 1;
        let read = std::io::Read::take(&mut reader, LONGEST_LINE).read_line(&mut text);
        match read {
            Ok(0) => return Ok(()),
            Ok(read) if read as u64 == LONGEST_LINE && !text.ends_with('\n') => {
                return Err(OfflineError::Malformed { line: number, reason: "the line is too long".to_owned() });
            }
            Ok(_) if text.trim().is_empty() => {}
            Ok(_) => each(number, text.trim_end())?,
            Err(error) => return Err(OfflineError::Io(error.to_string())),
        }
    }
}

/// Checks an export: every event against its leaf, and the tree over all of them against the checkpoint in its trailer,
/// which a trusted key must have signed, and against the checkpoints that were kept elsewhere.
pub fn check_export(reader: impl BufRead, trusted: &TrustedKeys, notes: &[String]) -> Result<Checked, OfflineError> {
    read(reader, trusted, notes, PartialTree::forgetful(), &mut |_| false).map(|(checked, ..)| checked)
}

fn read(
    reader: impl BufRead,
    trusted: &TrustedKeys,
    notes: &[String],
    tree: PartialTree,
    keep: &mut dyn FnMut(&ExportLine) -> bool,
) -> Result<(Checked, PartialTree, Vec<ExportLine>, String), OfflineError> {
    let heads = notes.iter().map(|note| Ok((trusted.open(note)?, false))).collect::<Result<_, CheckpointError>>()?;
    let mut reading = Reading {
        tree,
        line: 0,
        events: 0,
        skipped: 0,
        first: None,
        last: None,
        trailer: None,
        heads,
        keep,
        kept: Vec::new(),
    };
    lines(reader, |number, text| {
        reading.line = number;
        reading.line(text)
    })?;
    let trailer = reading.finish()?;
    let own = trusted.open(&trailer.checkpoint)?;
    let covered = reading.tree.size();
    if own.size != covered {
        return Err(OfflineError::NotCovered { size: own.size, covered });
    }
    if own.root != reading.tree.root() || hash(&trailer.root) != Some(own.root) || trailer.size != own.size {
        return Err(OfflineError::Forked { size: own.size });
    }
    if let Some((head, _)) = reading.heads.iter().find(|(_, done)| !done) {
        return Err(OfflineError::NotCovered { size: head.size, covered });
    }
    let mut checkpoints: Vec<u64> = reading.heads.iter().map(|(head, _)| head.size).collect();
    checkpoints.push(own.size);
    checkpoints.sort_unstable();
    checkpoints.dedup();
    let checked = Checked {
        events: reading.events,
        skipped: reading.skipped,
        size: covered,
        root: reading.tree.root().to_string(),
        checkpoints,
        first_seq: reading.first,
        last_seq: reading.last,
    };
    Ok((checked, reading.tree, reading.kept, trailer.checkpoint))
}

/// Checks an export as [`check_export`] does and makes a bundle of the events that `keep` picks.
pub fn bundle(
    reader: impl BufRead,
    trusted: &TrustedKeys,
    notes: &[String],
    mut keep: impl FnMut(&ExportLine) -> bool,
) -> Result<Bundle, OfflineError> {
    let (_, tree, kept, checkpoint) = read(reader, trusted, notes, PartialTree::default(), &mut keep)?;
    let events = kept
        .into_iter()
        .map(|event| {
            let path =
                tree.inclusion_proof(event.seq).ok_or_else(|| OfflineError::BadProof { id: event.id.clone() })?;
            Ok(Evidence { event, path: path.iter().map(ToString::to_string).collect() })
        })
        .collect::<Result<_, OfflineError>>()?;
    Ok(Bundle { format: BUNDLE.to_owned(), checkpoint, events })
}

/// Checks a bundle: each event's proof against its checkpoint, which a trusted key must have signed.
pub fn check_bundle(text: &str, trusted: &TrustedKeys) -> Result<Checked, OfflineError> {
    let malformed = |reason: String| OfflineError::Malformed { line: 1, reason };
    let bundle: Bundle = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    if bundle.format != BUNDLE {
        return Err(malformed(format!("the form {} is not known here", bundle.format)));
    }
    let head = trusted.open(&bundle.checkpoint)?;
    for Evidence { event, path } in &bundle.events {
        let computed = event.computed_hash();
        if hash(&event.leaf_hash) != Some(computed) {
            return Err(OfflineError::EventChanged { line: 1, seq: event.seq, id: event.id.clone() });
        }
        let path: Option<Vec<Hash>> = path.iter().map(|text| hash(text)).collect();
        let holds = path.is_some_and(|path| check_inclusion(&path, head.size, head.root, event.seq, computed));
        if !holds {
            return Err(OfflineError::BadProof { id: event.id.clone() });
        }
    }
    Ok(Checked {
        events: bundle.events.len() as u64,
        skipped: 0,
        size: head.size,
        root: head.root.to_string(),
        checkpoints: vec![head.size],
        first_seq: bundle.events.iter().map(|evidence| evidence.event.seq).min(),
        last_seq: bundle.events.iter().map(|evidence| evidence.event.seq).max(),
    })
}
