//! The in-memory issuer keeps the contract that the real ones keep.

use certctl_port_issuer::contract;
use certctl_port_issuer::fake::FakeIssuer;
use certctl_ports::Ambient;
use certctl_ports::fakes::{CountingRandom, FixedClock};
use certctl_signers::RingKeys;
use std::sync::Arc;
use time::macros::datetime;

#[tokio::test]
async fn the_fake_passes_the_contract_kits() {
    let clock = Arc::new(FixedClock::new(datetime!(2026-03-01 12:00 UTC)));
    let ambient = Ambient { clock, random: Arc::new(CountingRandom::new(1)) };
    let keys = RingKeys::new();
    let issuer = FakeIssuer::new("iss-fake", &ambient, &keys);
    contract::issuer(&issuer, &ambient, &keys).await;
    contract::status_authority(&issuer, &ambient, &keys).await;
}
