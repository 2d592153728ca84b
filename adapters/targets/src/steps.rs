//! Records what a deployment does.

use certctl_port_target::Step;
use std::time::Instant;

/// Longest detail; the control plane refuses records that are longer.
const LONGEST_DETAIL: usize = 4096;

fn shortened(mut detail: String) -> String {
    if detail.len() > LONGEST_DETAIL {
        detail.truncate(detail.floor_char_boundary(LONGEST_DETAIL - 4));
        detail.push_str(" ...");
    }
    detail.replace('\0', " ")
}

/// The record under way.
#[derive(Default)]
pub struct Steps(Vec<Step>);

impl Steps {
    /// Does one step and records how it went.
    pub fn run<T>(
        &mut self,
        name: &str,
        act: impl FnOnce() -> Result<T, String>,
        describe: impl FnOnce(&T) -> String,
    ) -> Result<T, String> {
        let started = Instant::now();
        let result = act();
        let detail = match &result {
            Ok(value) => describe(value),
            Err(reason) => reason.clone(),
        };
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.push(Step { step: name.to_owned(), ok: result.is_ok(), ms, detail: shortened(detail) });
        result
    }

    /// Records something that takes no time, such as a step that does not apply.
    pub fn note(&mut self, name: &str, detail: impl Into<String>) {
        self.0.push(Step { step: name.to_owned(), ok: true, ms: 0, detail: shortened(detail.into()) });
    }

    /// The record.
    pub fn finish(self) -> Vec<Step> {
        self.0
    }
}
