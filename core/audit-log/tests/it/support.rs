//! A log in memory, and a key.

use async_trait::async_trait;
use certctl_audit::AuditRecord;
use certctl_audit_log::{
    Backlog, ExportFilter, ExportStore, Hash, ImportedEvent, Leaf, LogKey, LogStore, Node, NoteKey, SealedRow,
    StoredCheckpoint, Unsealed, canonical,
};
use certctl_kernel::{StoreError, Timestamp};
use certctl_ports::fakes::{CountingRandom, FixedClock};
use certctl_ports::{Ambient, KeyAlgorithm, KeyError, SignatureAlgorithm, SigningKey};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use time::macros::datetime;

pub const NOW: Timestamp = datetime!(2026-03-01 12:00 UTC);

pub fn ambient() -> Ambient {
    Ambient { clock: Arc::new(FixedClock::new(NOW)), random: Arc::new(CountingRandom::new(1)) }
}

/// Futures over memory never wait.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

struct Ed25519(Ed25519KeyPair, Vec<u8>);

impl SigningKey for Ed25519 {
    fn signature_algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Ed25519
    }
    fn key_algorithm(&self) -> KeyAlgorithm {
        KeyAlgorithm::Ed25519
    }
    fn public_key_spki(&self) -> &[u8] {
        &self.1
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

pub fn signing_key(seed: u8) -> Arc<dyn SigningKey> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend_from_slice(pair.public_key().as_ref());
    Arc::new(Ed25519(pair, spki))
}

pub fn key_named(name: &str, seed: u8) -> LogKey {
    LogKey::new(NoteKey::new(name, signing_key(seed)).expect("an Ed25519 key"))
}

pub fn key() -> LogKey {
    key_named("certctl-audit/test", 1)
}

/// The store in memory.
#[derive(Default)]
pub struct MemoryLog {
    queue: Vec<Unsealed>,
    records: Vec<AuditRecord>,
    leaves: Vec<Leaf>,
    nodes: Vec<Node>,
    checkpoints: Vec<StoredCheckpoint>,
}

impl MemoryLog {
    pub fn record(&mut self, id: &str) {
        let insert_id = i64::try_from(self.records.len()).expect("small");
        let record = AuditRecord {
            id: id.to_owned(),
            at: NOW,
            actor_id: "alice".to_owned(),
            actor_type: "APIKey".to_owned(),
            action: "create_team".to_owned(),
            resource_type: "team".to_owned(),
            resource_id: "t1".to_owned(),
            category: if insert_id % 7 == 0 { "auth" } else { "config" }.to_owned(),
            details: serde_json::json!({"n": insert_id}),
            request_id: "req".to_owned(),
            source_ip: None,
            tenant_id: "t-default".to_owned(),
            seq: None,
        };
        self.queue.push(Unsealed { insert_id, record: record.clone() });
        self.records.push(record);
    }

    pub fn latest(&self) -> StoredCheckpoint {
        self.checkpoints.last().expect("something was signed").clone()
    }

    pub fn leaf(&self, seq: usize) -> Hash {
        self.leaves[seq].hash
    }

    /// What the leaves are hashes of.
    pub fn entries(&self) -> Vec<Vec<u8>> {
        self.records.iter().zip(0..).map(|(record, seq)| canonical(record, seq)).collect()
    }
}

fn range(from: u64, until: u64, len: usize) -> std::ops::Range<usize> {
    let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(len);
    clamp(from)..clamp(until)
}

#[async_trait]
impl LogStore for MemoryLog {
    async fn import_events(&mut self, _: &[ImportedEvent]) -> Result<u64, StoreError> {
        // Nothing here takes over another trail.
        Err(StoreError::Unavailable)
    }

    async fn lead_log(&mut self, _wait: bool) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn log_size(&mut self) -> Result<u64, StoreError> {
        Ok(self.leaves.len() as u64)
    }
    async fn unsealed(&mut self, limit: i64) -> Result<Vec<Unsealed>, StoreError> {
        Ok(self.queue.iter().take(usize::try_from(limit).expect("positive")).cloned().collect())
    }
    async fn backlog(&mut self) -> Result<Backlog, StoreError> {
        let oldest = self.queue.first().map(|first| first.record.at);
        Ok(Backlog { waiting: self.queue.len() as u64, oldest })
    }
    async fn append(&mut self, leaves: &[Leaf], nodes: &[Node]) -> Result<(), StoreError> {
        self.queue.retain(|waiting| !leaves.iter().any(|leaf| leaf.insert_id == waiting.insert_id));
        self.leaves.extend_from_slice(leaves);
        self.nodes.extend_from_slice(nodes);
        Ok(())
    }
    async fn leaf_hashes(&mut self, from: u64, until: u64) -> Result<Vec<Hash>, StoreError> {
        Ok(self.leaves[range(from, until, self.leaves.len())].iter().map(|leaf| leaf.hash).collect())
    }
    async fn node_hashes(&mut self, level: u8, from: u64, until: u64) -> Result<Vec<Hash>, StoreError> {
        let wanted = |node: &&Node| node.level == level && (from..until).contains(&node.index);
        Ok(self.nodes.iter().filter(wanted).map(|node| node.hash).collect())
    }
    async fn sealed(&mut self, from: u64, limit: i64) -> Result<Vec<SealedRow>, StoreError> {
        let rows = self.leaves.iter().zip(&self.records).skip(usize::try_from(from).expect("small"));
        let limit = usize::try_from(limit).expect("positive");
        Ok(rows
            .take(limit)
            .map(|(leaf, record)| SealedRow { leaf: leaf.clone(), record: Some(record.clone()), archived: false })
            .collect())
    }
    async fn leaf_of(&mut self, event_id: &str) -> Result<Option<Leaf>, StoreError> {
        Ok(self.leaves.iter().find(|leaf| leaf.event_id == event_id).cloned())
    }
    async fn add_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
        self.checkpoints.push(checkpoint.clone());
        Ok(())
    }
    async fn latest_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, StoreError> {
        Ok(self.checkpoints.last().cloned())
    }
    async fn checkpoints(&mut self, after: u64, until: u64) -> Result<Vec<StoredCheckpoint>, StoreError> {
        Ok(self.checkpoints.iter().filter(|kept| kept.size > after && kept.size <= until).cloned().collect())
    }
}

#[async_trait]
impl ExportStore for MemoryLog {
    async fn seq_range(&mut self, filter: &ExportFilter, size: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let within = |leaf: &&Leaf| leaf.seq < size && leaf.at >= filter.since && leaf.at <= filter.until;
        let seqs: Vec<u64> = self.leaves.iter().filter(within).map(|leaf| leaf.seq).collect();
        Ok(seqs.first().copied().zip(seqs.last().copied()))
    }
    async fn export_rows(
        &mut self,
        filter: &ExportFilter,
        (from, until): (u64, u64),
        limit: i64,
        all: bool,
    ) -> Result<Vec<(Leaf, Option<AuditRecord>)>, StoreError> {
        let passes = |record: &&AuditRecord| filter.category.is_none_or(|wanted| wanted.as_str() == record.category);
        let rows = self.leaves.iter().zip(&self.records).filter(|(leaf, _)| (from..until).contains(&leaf.seq));
        let rows = rows.map(|(leaf, record)| (leaf.clone(), Some(record).filter(passes).cloned()));
        let rows = rows.filter(|(_, record)| all || record.is_some());
        Ok(rows.take(usize::try_from(limit).expect("positive")).collect())
    }
}
