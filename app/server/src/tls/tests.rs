//! What an operator's pair must be, and what a client of the listener sees.

use super::load::fingerprint;
use super::*;
use certctl_ports::Ambient;
use certctl_ports::fakes::{CountingRandom, FixedClock};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

fn now() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
}

fn made(dir: &Path) -> (PairFiles, PathBuf) {
    let ambient = Ambient { clock: Arc::new(FixedClock::new(now())), random: Arc::new(CountingRandom::new(5)) };
    ensure_pair(dir, &[], &ambient).expect("made")
}

fn refusal(files: PairFiles, at: OffsetDateTime) -> String {
    ReloadingPair::open(files, at).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_pair_that_would_fail_at_the_first_handshake_is_refused_at_once() {
    let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (files, ca) = made(dir.path());
    let (strange, _) = made(other.path());
    assert_eq!(refusal(files.clone(), now()), "");
    assert!(refusal(files.clone(), now() + Duration::days(91)).contains("server.crt: has expired"));
    assert!(refusal(PairFiles { key: strange.key, ..files.clone() }, now()).contains("does not belong to"));
    assert!(refusal(PairFiles { cert: ca, ..files.clone() }, now()).contains("names no host"));
    assert!(refusal(PairFiles { cert: dir.path().join("absent"), ..files.clone() }, now()).contains("can't be read"));
    assert!(refusal(PairFiles { cert: files.key.clone(), ..files.clone() }, now()).contains("holds no certificate"));
    assert!(refusal(PairFiles { key: files.cert.clone(), ..files.clone() }, now()).contains("readable by others"));

    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(refusal(files.clone(), now()).contains("chmod 600"));
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o400)).expect("chmod");
    assert_eq!(refusal(files, now()), "");
}

fn client(ca: &Path, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("PEM")).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(At(now())))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").expect("a name")).expect("a client")
}

/// The client's clock stands where the pair was made.
#[derive(Debug)]
struct At(OffsetDateTime);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let seconds = u64::try_from(self.0.unix_timestamp()).ok()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// Carries records back and forth until both are done.
fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), rustls::Error> {
    while client.is_handshaking() || server.is_handshaking() {
        let mut records = Vec::new();
        client.write_tls(&mut records).expect("into memory");
        server.read_tls(&mut records.as_slice()).expect("from memory");
        server.process_new_packets()?;
        let mut records = Vec::new();
        server.write_tls(&mut records).expect("into memory");
        client.read_tls(&mut records.as_slice()).expect("from memory");
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn a_client_that_trusts_the_printed_ca_gets_tls_13_with_http_2_and_an_older_one_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let (files, ca) = made(dir.path());
    let pair = Arc::new(ReloadingPair::open(files, now()).expect("loads"));
    let config = Arc::new(server_config(Arc::clone(&pair)).expect("a configuration"));
    let server = || ServerConnection::new(Arc::clone(&config)).expect("a server");

    let (mut one, mut other) = (client(&ca, &[&rustls::version::TLS13]), server());
    shake(&mut one, &mut other).expect("they agree");
    assert_eq!(one.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(one.alpn_protocol(), Some(b"h2".as_slice()));
    let leaf = one.peer_certificates().and_then(|chain| chain.first()).expect("a leaf");
    assert_eq!(fingerprint(leaf), pair.fingerprint());

    assert!(shake(&mut client(&ca, &[&rustls::version::TLS12]), &mut server()).is_err());
}
