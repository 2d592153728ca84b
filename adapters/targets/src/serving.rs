//! Confirms on the wire that a service serves what it should (connectors §1.8).

use crate::probe::{Endpoint, Seen, probe};
use crate::schema::Reader;
use std::time::Duration;

/// The longest wait that a configuration may ask for.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// The members `post_deploy_verify*` of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Where to look.
    pub endpoint: Endpoint,
    /// The name to ask for.
    pub server_name: String,
    /// Time limit of one handshake.
    pub timeout: Duration,
    /// Whether the served intermediates are compared too.
    pub expect_chain: bool,
    /// Whether every address of the endpoint's name is looked at, or the first.
    pub all_addresses: bool,
    /// Looks in a row that must agree: old workers may still answer.
    pub consecutive: u32,
    /// Attempts in all.
    pub attempts: u32,
    /// Wait after the first attempt; doubles.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
}

impl Watch {
    /// Reads the members; `None` when verification is off or no endpoint is named.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let attempts = reader.number("post_deploy_verify_attempts", 1, 100);
        let backoff = reader.duration("post_deploy_verify_backoff", MAX_WAIT);
        let max_backoff = reader.duration("post_deploy_verify_max_backoff", MAX_WAIT);
        let mut nested = reader.object("post_deploy_verify")?;
        let enabled = nested.flag("enabled").unwrap_or(false);
        let text = nested.text("endpoint").filter(|text| !text.is_empty());
        let endpoint = text.as_deref().and_then(Endpoint::parse);
        if text.is_some() && endpoint.is_none() {
            nested.refuse("endpoint", "endpoint", "must be host:port, such as www.example.com:443");
        }
        let server_name = nested.text("server_name").filter(|name| !name.is_empty());
        if let Some(name) = &server_name
            && Endpoint::parse(name).is_none_or(|parsed| parsed.host != *name)
        {
            nested.refuse("server_name", "server_name", "must be a host name, such as www.example.com");
        }
        let timeout = nested.duration("timeout", MAX_WAIT);
        let expect_chain = nested.flag("expect_chain");
        let all_addresses = nested.flag("all_addresses");
        let consecutive = nested.number("require_consecutive", 1, 10);
        reader.absorb(nested);
        let endpoint = endpoint.filter(|_| enabled)?;
        let count = |number: Option<i64>, default: u32| number.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
        Some(Self {
            server_name: server_name.unwrap_or_else(|| endpoint.host.clone()),
            endpoint,
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            expect_chain: expect_chain.unwrap_or(true),
            all_addresses: all_addresses.unwrap_or(false),
            consecutive: count(consecutive, 2),
            attempts: count(attempts, 3),
            backoff: backoff.unwrap_or(Duration::from_secs(1)),
            max_backoff: max_backoff.unwrap_or(Duration::from_secs(16)),
        })
    }

    /// What the endpoint serves now, at the first of its addresses that answers.
    pub fn look(&self) -> Result<Seen, String> {
        let mut failure = String::new();
        for address in self.endpoint.resolve()? {
            match probe(address, &self.server_name, self.timeout) {
                Ok(seen) => return Ok(seen),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn look_everywhere(&self, accept: &dyn Fn(&Seen) -> Result<(), String>) -> Result<Seen, String> {
        if !self.all_addresses {
            let seen = self.look()?;
            return accept(&seen).map(|()| seen);
        }
        let mut last = None;
        for address in self.endpoint.resolve()? {
            let seen = probe(address, &self.server_name, self.timeout)?;
            accept(&seen).map_err(|reason| format!("{address}: {reason}"))?;
            last = Some(seen);
        }
        last.ok_or_else(|| format!("{} has no address", self.endpoint.host))
    }

    /// One attempt: `consecutive` looks that all agree.
    pub fn agree(&self, accept: &dyn Fn(&Seen) -> Result<(), String>) -> Result<Seen, String> {
        let mut seen = self.look_everywhere(accept)?;
        for _ in 1..self.consecutive {
            seen = self.look_everywhere(accept)?;
        }
        Ok(seen)
    }

    /// Attempts, with growing waits between them, until one agrees.
    pub fn confirm(&self, accept: &dyn Fn(&Seen) -> Result<(), String>) -> Result<Seen, String> {
        let mut wait = self.backoff.min(self.max_backoff);
        let mut attempt = 1;
        loop {
            match self.agree(accept) {
                Ok(seen) => return Ok(seen),
                Err(reason) if attempt >= self.attempts => {
                    return Err(format!("{} after {attempt} attempts: {reason}", self.endpoint));
                }
                Err(_) => {
                    std::thread::sleep(wait);
                    wait = wait.saturating_mul(2).min(self.max_backoff);
                    attempt += 1;
                }
            }
        }
    }
}
