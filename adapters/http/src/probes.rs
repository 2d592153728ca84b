//! Liveness, readiness, version and the API's own description.

use crate::edge::Route;

mod health;
mod openapi_json;
mod ready;
mod reference;
mod version;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    use crate::edge::Gate;
    vec![
        crate::route!(Gate::Public("probes carry no credential"), health),
        crate::route!(Gate::Public("probes carry no credential"), ready),
        crate::route!(Gate::Public("clients negotiate before they sign in"), version),
        crate::route!(Gate::Public("the description holds no data"), openapi_json),
        crate::route!(Gate::Public("the description holds no data"), reference),
    ]
}
