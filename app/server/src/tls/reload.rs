//! The pair that handshakes use, reloaded when its files change.

use super::load::{TlsError, fingerprint, load};
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use time::OffsetDateTime;

/// Where the pair lies.
#[derive(Debug, Clone)]
pub(crate) struct PairFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// What tells a changed file from an unchanged one, also behind swapped symbolic links.
type Stamp = (u64, i64, i64, u64);

/// The current pair.
#[derive(Debug)]
pub(crate) struct ReloadingPair {
    files: PairFiles,
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Vec<Option<Stamp>>>,
}

impl ReloadingPair {
    /// Loads the pair for the first time.
    pub(crate) fn open(files: PairFiles, now: OffsetDateTime) -> Result<Self, TlsError> {
        let seen = stamps(&files);
        let pair = load(&files.cert, &files.key, now)?;
        Ok(Self { files, current: ArcSwap::from_pointee(pair), seen: Mutex::new(seen) })
    }

    /// Fingerprint of the leaf in use.
    pub(crate) fn fingerprint(&self) -> String {
        self.current.load().cert.first().map_or_else(String::new, |leaf| fingerprint(leaf))
    }

    /// Loads the files again when they changed, or always when `force`d. A pair that does not pass the checks leaves
    /// the old one in use. Returns the old and new fingerprint after a swap.
    pub(crate) fn reload(&self, force: bool, now: OffsetDateTime) -> Result<Option<(String, String)>, TlsError> {
        let stamps = stamps(&self.files);
        {
            let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if !force && *seen == stamps {
                return Ok(None);
            }
            *seen = stamps;
        }
        let pair = load(&self.files.cert, &self.files.key, now)?;
        let old = self.fingerprint();
        self.current.store(Arc::new(pair));
        Ok(Some((old, self.fingerprint())))
    }
}

fn stamps(files: &PairFiles) -> Vec<Option<Stamp>> {
    [&files.cert, &files.key]
        .into_iter()
        .map(|path| std::fs::metadata(path).ok().map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.size())))
        .collect()
}

impl ResolvesServerCert for ReloadingPair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}
