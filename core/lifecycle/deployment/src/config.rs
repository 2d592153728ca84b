//! Secret members of a configuration: parted before storage, masked for display, joined for the agent.

use crate::ClaimedTarget;
use certctl_kernel::DomainError;
use certctl_ports::{SealContext, SealError, Sealer};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// What stands in the place of a secret that is set.
pub const MASK: &str = "********";

fn context(target_id: &str) -> SealContext<'_> {
    SealContext { table: "fleet.targets", column: "sealed_config", row_id: target_id }
}

fn failed(error: &SealError) -> DomainError {
    match error {
        SealError::NoKey => DomainError::conflict("encryption_key_missing", error.to_string()),
        other => DomainError::Internal { reason: format!("a target's sealed configuration: {other}") },
    }
}

/// Takes the value at a dotted path out of an object.
fn take(config: &mut Value, path: &str) -> Option<Value> {
    match path.split_once('.') {
        None => config.as_object_mut()?.remove(path),
        Some((head, rest)) => take(config.get_mut(head)?, rest),
    }
}

/// Puts a value at a dotted path, making objects on the way.
fn put(config: &mut Value, path: &str, value: Value) {
    if !config.is_object() {
        *config = Value::Object(Map::new());
    }
    let Some(object) = config.as_object_mut() else { return };
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((head, rest)) => put(object.entry(head).or_insert_with(|| Value::Object(Map::new())), rest, value),
    }
}

/// Parts a configuration: what may be stored and shown, in which each secret member that is set reads [`MASK`], and
/// the secret members as a flat object from path to value.
pub(crate) fn part(mut config: Value, secrets: &[&str]) -> (Value, Map<String, Value>) {
    let mut parted = Map::new();
    for path in secrets {
        if let Some(value) = take(&mut config, path).filter(|value| !value.is_null() && *value != "") {
            put(&mut config, path, Value::String(MASK.to_owned()));
            parted.insert((*path).to_owned(), value);
        }
    }
    (config, parted)
}

/// Seals the secret members; nothing to seal needs no key.
pub(crate) fn seal(
    sealer: &dyn Sealer,
    target_id: &str,
    secrets: &Map<String, Value>,
) -> Result<Option<Vec<u8>>, DomainError> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let text = serde_json::to_vec(secrets).map_err(|e| DomainError::Internal { reason: e.to_string() })?;
    let text = Zeroizing::new(text);
    sealer.seal(&text, context(target_id)).map(Some).map_err(|e| failed(&e))
}

/// Opens the secret members.
pub(crate) fn open(
    sealer: &dyn Sealer,
    target_id: &str,
    sealed: Option<&[u8]>,
) -> Result<Map<String, Value>, DomainError> {
    let Some(blob) = sealed else { return Ok(Map::new()) };
    let text = sealer.open(blob, context(target_id)).map_err(|e| failed(&e))?;
    serde_json::from_slice(&text)
        .map_err(|_| DomainError::Internal { reason: "a target's sealed configuration is not an object".to_owned() })
}

/// Joins plain and secret members.
pub(crate) fn join(mut config: Value, secrets: Map<String, Value>) -> Value {
    for (path, value) in secrets {
        put(&mut config, &path, value);
    }
    config
}

/// The whole configuration, for the agent that serves the target and for nobody else.
pub fn full_config(sealer: &dyn Sealer, target: &ClaimedTarget) -> Result<Value, DomainError> {
    let secrets = open(sealer, &target.id, target.sealed_config.as_deref())?;
    Ok(join(target.config.clone(), secrets))
}

/// Fills members that read [`MASK`] from the stored secrets: clients send back what they were shown. A mask without a
/// stored secret stands for nothing and goes.
pub(crate) fn unmask(config: &mut Value, secrets: &[&str], stored: &Map<String, Value>) {
    for path in secrets {
        match take(config, path) {
            Some(value) if value == MASK => {
                if let Some(known) = stored.get(*path) {
                    put(config, path, known.clone());
                }
            }
            Some(value) => put(config, path, value),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_ports::fakes::TicketSealer;
    use serde_json::json;

    const SECRETS: &[&str] = &["password", "winrm.winrm_password"];

    #[test]
    fn secrets_part_and_join_at_any_depth() {
        let whole = json!({"host": "a", "password": "p", "winrm": {"user": "u", "winrm_password": "w"}});
        let (plain, secrets) = part(whole.clone(), SECRETS);
        assert_eq!(plain, json!({"host": "a", "password": MASK, "winrm": {"user": "u", "winrm_password": MASK}}));
        let sealer = TicketSealer::default();
        let blob = seal(&sealer, "target-1", &secrets).expect("sealed").expect("something to seal");
        assert!(open(&sealer, "target-2", Some(&blob)).is_err(), "a blob moved to another row does not open");
        assert_eq!(join(plain, open(&sealer, "target-1", Some(&blob)).expect("opens")), whole);
    }

    #[test]
    fn a_mask_sent_back_means_the_stored_secret() {
        let stored = Map::from_iter([("password".to_owned(), json!("p"))]);
        let mut config = json!({"password": MASK, "winrm": {"winrm_password": MASK}});
        unmask(&mut config, SECRETS, &stored);
        assert_eq!(config, json!({"password": "p", "winrm": {}}));
    }

    #[test]
    fn nothing_secret_needs_no_key() {
        struct NoKey;
        impl Sealer for NoKey {
            fn seal(&self, _: &[u8], _: SealContext<'_>) -> Result<Vec<u8>, SealError> {
                Err(SealError::NoKey)
            }
            fn open(&self, _: &[u8], _: SealContext<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
                Err(SealError::NoKey)
            }
        }
        let (_, none) = part(json!({"cert_path": "/x", "key_path": "/y"}), SECRETS);
        assert_eq!(seal(&NoKey, "target-1", &none), Ok(None));
        let (_, some) = part(json!({"password": "p"}), SECRETS);
        assert!(matches!(
            seal(&NoKey, "target-1", &some),
            Err(DomainError::Conflict { code: "encryption_key_missing", .. })
        ));
    }
}
