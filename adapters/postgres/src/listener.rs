//! LISTEN/NOTIFY: what other replicas changed.

use crate::pool::{ConnectError, Postgres};
use certctl_ports::Change;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

/// What the listener tells its replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Connected: caches may be trusted from now on, and must start empty.
    Connected,
    /// A replica, this one included, committed a change.
    Changed(Change),
    /// The connection is lost: changes may go unheard, so caches must not be trusted.
    Disconnected,
}

pub(crate) fn encode(change: &Change) -> String {
    match change {
        Change::Access => "access".to_owned(),
        Change::Issuer(id) => format!("issuer\u{1f}{id}"),
        Change::Revocation(ca, serial) => format!("revocation\u{1f}{ca}\u{1f}{serial}"),
        Change::Approval(id) => format!("approval\u{1f}{id}"),
        Change::SessionKeys => "session_keys".to_owned(),
        Change::IdentityProvider(id) => format!("provider\u{1f}{id}"),
    }
}

fn decode(payload: &str) -> Option<Change> {
    let mut parts = payload.split('\u{1f}');
    match (parts.next()?, parts.next(), parts.next()) {
        ("access", None, None) => Some(Change::Access),
        ("issuer", Some(id), None) => Some(Change::Issuer(id.to_owned())),
        ("session_keys", None, None) => Some(Change::SessionKeys),
        ("provider", Some(id), None) => Some(Change::IdentityProvider(id.to_owned())),
        ("approval", Some(id), None) => Some(Change::Approval(id.to_owned())),
        ("revocation", Some(ca), Some(serial)) => Some(Change::Revocation(ca.to_owned(), serial.to_owned())),
        _ => None,
    }
}

/// One session that listens for as long as it lives; the caller opens another when it ends.
pub struct Listener {
    receiver: mpsc::UnboundedReceiver<Notice>,
}

impl Listener {
    /// Connects and listens.
    pub async fn connect(database: &Postgres) -> Result<Self, ConnectError> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (client, mut messages) = database.raw_session().await?;
        tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(note)) => {
                        if let Some(change) = decode(note.payload())
                            && sender.send(Notice::Changed(change)).is_err()
                        {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the notification session ended");
                        break;
                    }
                }
            }
            // The receiver may be gone already at shutdown.
            if sender.send(Notice::Disconnected).is_err() {
                tracing::debug!("nobody listens any more");
            }
        });
        client.batch_execute("LISTEN certctl").await.map_err(ConnectError::from)?;
        let (first, rest) = mpsc::unbounded_channel();
        first.send(Notice::Connected).map_err(|_| ConnectError::Closed)?;
        let mut receiver = receiver;
        tokio::spawn(async move {
            // Owns the client: dropping it ends the session.
            let _session = client;
            while let Some(notice) = receiver.recv().await {
                if first.send(notice).is_err() {
                    return;
                }
            }
        });
        Ok(Self { receiver: rest })
    }

    /// The next notice; `None` when the session is over.
    pub async fn next(&mut self) -> Option<Notice> {
        self.receiver.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_survive_the_channel() {
        for change in [
            Change::Access,
            Change::Issuer("iss-local".into()),
            Change::Revocation("ica-1".into(), "00ff".into()),
            Change::Approval("apr-1".into()),
        ] {
            assert_eq!(decode(&encode(&change)), Some(change));
        }
        assert_eq!(decode("nonsense"), None);
    }
}
