//! The route table: every operation with its gate. Routing, authorization and the OpenAPI document come from it.

use crate::edge::Route;

/// The whole table.
pub fn all() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(crate::probes::routes());
    routes.extend(crate::auth::routes());
    routes.extend(crate::pages::routes());
    routes.extend(crate::audit::routes());
    routes.extend(crate::pki::routes());
    routes.extend(crate::certificates::routes());
    routes.extend(crate::teams::routes());
    routes.extend(crate::owners::routes());
    routes.extend(crate::profiles::routes());
    routes.extend(crate::renewal_policies::routes());
    routes.extend(crate::issuers::routes());
    routes.extend(crate::agents::routes());
    routes.extend(crate::targets::routes());
    routes.extend(crate::jobs::routes());
    routes.extend(crate::stats::routes());
    routes.extend(crate::metrics::routes());
    routes.extend(crate::approvals::routes());
    routes
}
