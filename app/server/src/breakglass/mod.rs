//! The emergency way in: what the host's commands do about it, and what a server that runs does.

mod host;
mod serving;

pub(crate) use host::{BreakglassCommand, run};
pub(crate) use serving::{end_of_window, open, open_at_boot};
