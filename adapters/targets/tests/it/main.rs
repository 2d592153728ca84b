//! Deployments to a real nginx that runs under a scratch prefix; certificates and the outside view come from the
//! `openssl` command, which shares no code with us.

mod crash;
mod deploy;
mod support;
