//! Speaking to the server: trust, requests with retries, lists, names.

mod client;
mod list;
mod resolve;
mod trust;

pub(crate) use client::{Client, Method, Send};
pub(crate) use list::{Limit, Listing, fetch};
pub(crate) use resolve::{id_of, object_of};
use trust::agent_for;
pub(crate) use trust::{Authority, normalise_fingerprint, presented_chain, to_pem};
