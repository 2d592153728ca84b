//! Looks presented keys up in the database.

use crate::edge::access::{Authenticator, Principal};
use async_trait::async_trait;
use certctl_kernel::StoreError;
use certctl_ports::Ambient;
use certctl_session::{Refusal, SessionSettings, Verified, authenticate_session};
use certctl_unit_of_work::Database;
use std::sync::Arc;

/// Recognises API keys, agents' own keys and sessions, and notes their use once a minute.
pub struct KeyAuthenticator {
    db: Arc<dyn Database>,
    ambient: Ambient,
}

impl KeyAuthenticator {
    /// Looks keys up in `db`.
    pub fn new(db: Arc<dyn Database>, ambient: Ambient) -> Self {
        Self { db, ambient }
    }
}

#[async_trait]
impl Authenticator for KeyAuthenticator {
    async fn authenticate(&self, presented: &str, source_ip: Option<&str>) -> Result<Option<Principal>, StoreError> {
        let now = self.ambient.now();
        let mut unit = self.db.read().await?;
        let found = certctl_apikey::authenticate(unit.stores(), presented, now).await?;
        drop(unit);
        let Some(key) = found else { return Ok(None) };
        if let Some(credential) = &key.touch {
            let noted = async {
                let mut unit = self.db.begin().await?;
                unit.stores().touch(credential, now, source_ip).await?;
                unit.save_unaudited("a use is no change").await
            };
            // Who is signed in does not depend on whether the time of use can be written down.
            if let Err(error) = noted.await {
                tracing::warn!(%error, key_id = key.key_id, "the use of a key could not be noted");
            }
        }
        Ok(Some(Principal {
            actor: key.actor,
            roles: key.roles,
            version: key.version,
            permissions: Arc::new(key.permissions),
            valid_until: key.valid_until,
            session: None,
        }))
    }

    async fn authenticate_session(
        &self,
        verified: &Verified,
        settings: &SessionSettings,
    ) -> Result<Result<Principal, Refusal>, StoreError> {
        let now = self.ambient.now();
        let mut unit = self.db.read().await?;
        let found = authenticate_session(unit.stores(), verified, settings, now).await?;
        drop(unit);
        let found = match found {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if found.touch_due {
            let noted = async {
                let mut unit = self.db.begin().await?;
                unit.stores().touch_session(&found.session.id, now).await?;
                unit.save_unaudited("a use is no change").await
            };
            if let Err(error) = noted.await {
                tracing::warn!(%error, session_id = found.session.id, "the use of a session could not be noted");
            }
        }
        Ok(Ok(Principal {
            actor: found.session.actor.clone(),
            roles: found.access.roles,
            version: found.access.version,
            permissions: Arc::new(found.access.permissions),
            valid_until: Some(found.valid_until),
            session: Some(Arc::new(found.session)),
        }))
    }
}
