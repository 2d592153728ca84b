//! OCSP.

use crate::client::{Budget, Client, Load, drive};
use crate::database::sql;
use crate::processes::Server;
use crate::{CONNECTIONS, Outcome};
use std::process::Command;
use std::time::Duration;

const PATH: &str = "/.well-known/pki/ocsp/iss-local";
/// Serial numbers that are asked about.
const SERIALS: u64 = 400;

/// What OCSP showed.
pub struct Ocsp {
    /// Answers that the responder still has, over TLS.
    pub cached: Load,
    /// The same over the plain listener.
    pub plain: Load,
    /// Answers that had to be looked up and signed.
    pub first: Load,
}

/// A request by openssl for each of the serial numbers issued last.
fn requests(server: &Server) -> Outcome<Vec<Vec<u8>>> {
    let authority = server.scratch().join("issuer.der");
    let der = server.client(None).expect("GET", "/.well-known/pki/ca/iss-local", None, 200)?;
    std::fs::write(&authority, der).map_err(|error| error.to_string())?;
    let serials = sql(
        server,
        &format!(
            "SELECT serial_number FROM inventory.certificate_versions WHERE issuer_id = 'iss-local' AND csr_pem <> '' \
             ORDER BY created_at DESC LIMIT {SERIALS}"
        ),
    )?;
    let file = server.scratch().join("request.der");
    let mut requests = Vec::with_capacity(serials.len());
    for serial in serials {
        let output = Command::new("openssl")
            .args(["ocsp", "-no_nonce", "-issuer"])
            .arg(&authority)
            .args(["-serial", &format!("0x{serial}"), "-reqout"])
            .arg(&file)
            .output()
            .map_err(|error| format!("openssl: {error}"))?;
        if !output.status.success() {
            return Err(format!("openssl ocsp: {}", String::from_utf8_lossy(&output.stderr)));
        }
        requests.push(std::fs::read(&file).map_err(|error| error.to_string())?);
    }
    if requests.is_empty() { Err("no certificate was issued to ask about".to_owned()) } else { Ok(requests) }
}

/// Asks about certificates issued before.
pub fn measure(server: &Server, phase: Duration) -> Outcome<Ocsp> {
    let requests = requests(server)?;
    let count = u64::try_from(requests.len()).map_err(|error| error.to_string())?;
    let step = |client: &Client, n: u64| {
        let request = usize::try_from(n % count).ok().and_then(|at| requests.get(at)).ok_or("no request")?;
        match client.send("POST", PATH, Some(("application/ocsp-request", request)))? {
            // OCSPResponse with responseStatus successful (RFC 6960 §4.2.1).
            (200, body) if body.windows(3).take(8).any(|octets| octets == [0x0a, 0x01, 0x00]) => Ok(()),
            (status, _) => Err(format!("OCSP answered {status} without a successful response")),
        }
    };
    let first = drive(server, CONNECTIONS, Budget::Requests(count), |_| server.client(None), step)?;
    let cached = drive(server, CONNECTIONS, Budget::Time(phase), |_| server.client(None), step)?;
    let plain = drive(server, CONNECTIONS, Budget::Time(phase), |_| server.plain_client(), step)?;
    Ok(Ocsp { cached, plain, first })
}
