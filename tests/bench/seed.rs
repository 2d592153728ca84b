//! An inventory to measure on.

use crate::Outcome;
use crate::database::sql;
use crate::processes::Server;
use serde_json::json;
use std::process::Command;

/// Certificates that are only listed.
pub const LISTED: u64 = 6000;
/// Certificates that versions are issued for.
pub const ISSUED: u64 = 4000;

/// The certificate that request `n` is for.
pub fn issued_id(n: u64) -> String {
    format!("mc-issued-{}", n % ISSUED)
}

/// Loads 10,000 certificates past the server, as a restored backup would; gives the body that issues one of the last 4,000.
pub fn load(server: &Server) -> Outcome<Vec<u8>> {
    let client = server.client(server.key());
    for (path, body) in [
        ("/api/v1/teams", json!({"id": "t-bench", "name": "bench"})),
        ("/api/v1/owners", json!({"id": "o-bench", "name": "bench", "team_id": "t-bench", "email": "b@example.com"})),
    ] {
        client.expect("POST", path, Some(body.to_string().as_bytes()), 201)?;
    }
    let rows = |prefix: &str, name: &str, count: u64| {
        format!(
            "INSERT INTO inventory.certificates (id, name, common_name, sans, environment, owner_id, team_id, issuer_id, \
               renewal_policy_id, status, state_entered_at, tags, source, created_at, updated_at) \
             SELECT '{prefix}' || i, '{prefix}' || i, {name}, ARRAY[{name}], \
               (ARRAY['production', 'staging', 'development'])[1 + i % 3], 'o-bench', 't-bench', 'iss-local', \
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
    let text = format!(
        "BEGIN; {}{}{versions} COMMIT",
        rows("mc-listed-", "'www-' || i || '.example.com'", LISTED),
        rows("mc-issued-", "'issued.example.com'", ISSUED),
    );
    sql(server, &text)?;
    // What autovacuum would have done by the time anyone looks.
    sql(server, "VACUUM ANALYZE inventory.certificates")?;
    sql(server, "VACUUM ANALYZE inventory.certificate_versions")?;
    issue_body()
}

fn issue_body() -> Outcome<Vec<u8>> {
    let output = Command::new("openssl")
        .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"])
        .args(["-subj", "/CN=issued.example.com", "-addext", "subjectAltName=DNS:issued.example.com"])
        .output()
        .map_err(|error| format!("openssl: {error}"))?;
    if !output.status.success() {
        return Err(format!("openssl req: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(json!({"csr_pem": String::from_utf8_lossy(&output.stdout)}).to_string().into_bytes())
}
