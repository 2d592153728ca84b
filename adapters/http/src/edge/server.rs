//! Turning the route table into services.

use super::pipeline;
use super::route::{Gate, Presence, Route};
use crate::state::AppState;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The table and the state of one server.
#[derive(Clone)]
pub struct AppConfig {
    /// Shared parts.
    pub state: web::Data<AppState>,
    bootstrap: web::Data<crate::Bootstrap>,
    routes: Arc<Vec<Route>>,
}

impl AppConfig {
    /// Takes the product's whole route table.
    pub fn new(state: AppState, bootstrap: crate::Bootstrap) -> Self {
        Self {
            state: web::Data::new(state),
            bootstrap: web::Data::new(bootstrap),
            routes: Arc::new(crate::routes::all()),
        }
    }
}

/// Registers every route on an actix application; wrap the application with [`pipeline::outer`] through
/// [`crate::edge::server::app`].
pub fn configure(config: &AppConfig) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    services(config, |_| true)
}

/// Registers only the status objects that may be fetched over plain HTTP.
pub fn configure_public_pki(config: &AppConfig) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    services(config, |route| route.path.starts_with("/.well-known/pki/"))
}

fn services(config: &AppConfig, wanted: fn(&Route) -> bool) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    // One resource a path; literal segments are registered before those with parameters, so that they win.
    let mut by_path: BTreeMap<(Vec<u8>, String), Vec<usize>> = BTreeMap::new();
    for (index, route) in config.routes.iter().enumerate().filter(|(_, route)| wanted(route)) {
        let shape = route.path.split('/').map(|segment| u8::from(segment.starts_with('{'))).collect();
        by_path.entry((shape, route.path.clone())).or_default().push(index);
    }
    let config = config.clone();
    move |services: &mut web::ServiceConfig| {
        services.app_data(config.state.clone()).app_data(config.bootstrap.clone());
        for ((_, path), indices) in by_path {
            let mut resource = web::resource(path.as_str());
            let mut gates: Vec<(Method, Gate)> = Vec::new();
            let mut presence = Presence::Always;
            for index in indices {
                let route = &config.routes[index];
                gates.push((route.method.clone(), route.gate));
                // Operations of one address come and go together.
                presence = route.presence;
                resource = resource.route((route.handler)().method(route.method.clone()));
                if route.method == Method::GET {
                    gates.push((Method::HEAD, route.gate));
                    resource = resource.route((route.handler)().method(Method::HEAD));
                }
            }
            let gates: Arc<[(Method, Gate)]> = gates.into();
            services.service(resource.wrap(from_fn(move |request: actix_web::dev::ServiceRequest, next| {
                let gate = gates.iter().find(|(method, _)| method == request.method()).map(|(_, gate)| *gate);
                pipeline::gated(gate, presence, request, next)
            })));
        }
        services.default_service(web::to(pipeline::nothing_here));
    }
}

/// Builds an actix application with the whole pipeline: `App::new().wrap(…)` can't be named as a type, so a macro
/// spares every caller its spelling.
#[macro_export]
macro_rules! application {
    ($config:expr) => {
        ::actix_web::App::new()
            .wrap(::actix_web::middleware::from_fn($crate::edge::outer))
            .configure($crate::edge::server::configure($config))
    };
}

/// The same for the plain-HTTP listener, which serves status objects and nothing else.
#[macro_export]
macro_rules! public_pki_application {
    ($config:expr) => {
        ::actix_web::App::new()
            .wrap(::actix_web::middleware::from_fn($crate::edge::outer))
            .configure($crate::edge::server::configure_public_pki($config))
    };
}
