//! An inventory to measure on.

use crate::Outcome;
use crate::database::sql;
use crate::processes::Server;
use certctl_ports::{KeyAlgorithm, KeyGenerator as _};
use certctl_signers::RingKeys;
use certctl_x509::{San, csr};
use serde_json::json;

/// Certificates that are only listed.
pub const LISTED: u64 = 4000;
/// Certificates of each of two issuers that versions are issued for.
pub const ISSUED: u64 = 3000;
/// Requests made ahead, each with a key of its own.
const REQUESTS: usize = 6000;

/// An issuer that versions are asked of.
#[derive(Clone, Copy)]
pub struct Issuer {
    /// Its id.
    pub id: &'static str,
    /// How the ids of its certificates begin.
    prefix: &'static str,
}

/// Its CA has a P-256 key, as the yardstick has.
pub const P256: Issuer = Issuer { id: "iss-p256", prefix: "mc-p256-" };
/// The issuer that every installation begins with; its CA has a P-384 key.
pub const DEFAULT: Issuer = Issuer { id: "iss-local", prefix: "mc-p384-" };

impl Issuer {
    /// The address of issuance number `n`.
    pub fn path(self, n: u64) -> String {
        format!("/api/v1/certificates/{}{}/versions", self.prefix, n % ISSUED)
    }
}

/// Loads 10,000 certificates past the server, as a restored backup would; gives the bodies of issuances.
pub fn load(server: &Server) -> Outcome<Vec<Vec<u8>>> {
    let client = server.client(server.key());
    for (path, body) in [
        ("/api/v1/teams", json!({"id": "t-bench", "name": "bench"})),
        ("/api/v1/owners", json!({"id": "o-bench", "name": "bench", "team_id": "t-bench", "email": "b@example.com"})),
        (
            "/api/v1/issuers",
            json!({"id": P256.id, "name": "P-256", "type": "GenericCA", "config": {"key_algorithm": "ECDSA-P256"}}),
        ),
    ] {
        client.expect("POST", path, Some(body.to_string().as_bytes()), 201)?;
    }
    let rows = |prefix: &str, name: &str, issuer: &str, count: u64| {
        format!(
            "INSERT INTO inventory.certificates (id, name, common_name, sans, environment, owner_id, team_id, issuer_id, \
               renewal_policy_id, status, state_entered_at, tags, source, created_at, updated_at) \
             SELECT '{prefix}' || i, '{prefix}' || i, {name}, ARRAY[{name}], \
               (ARRAY['production', 'staging', 'development'])[1 + i % 3], 'o-bench', 't-bench', '{issuer}', \
               'rp-default', 'Pending', now(), jsonb_build_object('service', 'web', 'number', i::text), 'API', \
               now() - i * interval '1 minute', now() - i * interval '1 minute' \
             FROM generate_series(0, {}) i; ",
            count - 1
        )
    };
    let versions = "INSERT INTO inventory.certificate_versions (id, certificate_id, issuer_id, seq, serial_number, \
           not_before, not_after, fingerprint_sha256, pem_chain, key_algorithm, key_size, source, requested_by, \
           spki_sha256, subject_dn, issuer_dn, sans, revocation_exempt, created_at) \
         SELECT 'cv-' || c.id, c.id, 'iss-local', 1, encode(sha256(c.id::bytea), 'hex'), now(), now() + interval '80 days', \
           encode(sha256(c.id::bytea), 'hex'), '-----BEGIN CERTIFICATE-----' || repeat(c.id, 100), 'ECDSA', 256, 'API', \
           'bench', encode(sha256(c.id::bytea), 'hex'), 'CN=' || c.common_name, 'CN=restored', c.sans, false, now() \
         FROM inventory.certificates c WHERE c.id LIKE 'mc-listed-%'; \
         UPDATE inventory.certificates SET status = 'Active', current_version_id = 'cv-' || id, \
           expires_at = now() + interval '80 days', next_renewal_at = now() + interval '50 days' \
         WHERE id LIKE 'mc-listed-%'; ";
    let issued = |issuer: Issuer| rows(issuer.prefix, "'issued.example.com'", issuer.id, ISSUED);
    let listed = rows("mc-listed-", "'www-' || i || '.example.com'", DEFAULT.id, LISTED);
    let text = format!("BEGIN; {listed}{}{}{versions} COMMIT", issued(P256), issued(DEFAULT));
    sql(server, &text)?;
    // What autovacuum would have done by the time anyone looks.
    sql(server, "VACUUM ANALYZE inventory.certificates")?;
    sql(server, "VACUUM ANALYZE inventory.certificate_versions")?;
    bodies()
}

fn bodies() -> Outcome<Vec<Vec<u8>>> {
    let keys = RingKeys::new();
    let names = [San::parse("issued.example.com").map_err(|error| error.message)?];
    let one = |_| -> Outcome<Vec<u8>> {
        let key = keys.generate(KeyAlgorithm::EcdsaP256).and_then(|der| keys.load_der(&der));
        let key = key.map_err(|error| error.to_string())?;
        let request =
            csr::build(key.as_ref(), Some("issued.example.com"), &names).map_err(|error| error.to_string())?;
        Ok(json!({"csr_pem": request}).to_string().into_bytes())
    };
    (0..REQUESTS).map(one).collect()
}
