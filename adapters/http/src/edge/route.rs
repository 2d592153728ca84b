//! The route table's rows.

use actix_web::http::Method;
use certctl_rbac::{Permission, ScopeType};
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::{RefOr, Schema};

/// What stands before an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The caller must hold the permission everywhere.
    Permission(Permission),
    /// The caller must hold the permission somewhere: the use case decides for which objects, and narrows lists.
    Objects(Permission),
    /// The caller must hold the permission for the object that the path's `{id}` names.
    Scoped(Permission, ScopeType),
    /// Any authenticated caller.
    Authenticated,
    /// A permission, or an enrolment token that the handler checks.
    Enrolment(Permission),
    /// Nobody needs to sign in; says why.
    Public(&'static str),
}

/// When an operation is there at all. Where it is not, its address answers as one that nobody ever heard of, to
/// everybody and before anything of the request is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Always,
    /// Where the emergency way in is switched on.
    Breakglass,
    /// Where it is switched on and open.
    BreakglassOpen,
}

/// One operation: its address and documentation come from its `#[utoipa::path]`.
pub struct Route {
    /// HTTP method.
    pub method: Method,
    /// Path template.
    pub path: String,
    /// What stands before it.
    pub gate: Gate,
    /// When it is there.
    pub presence: Presence,
    pub(crate) handler: fn() -> actix_web::Route,
    /// Made only where the document is: a running server has no use for it.
    pub(crate) documentation: fn() -> Documentation,
}

/// What `#[utoipa::path]` says of an operation.
pub(crate) struct Documentation {
    pub(crate) operation: Operation,
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
}

fn documentation<P>() -> Documentation
where
    P: utoipa::Path + utoipa::__dev::SchemaReferences + for<'t> utoipa::__dev::Tags<'t>,
{
    let mut operation = P::operation();
    operation.tags = Some(P::tags().into_iter().map(ToOwned::to_owned).collect());
    let mut schemas = Vec::new();
    P::schemas(&mut schemas);
    Documentation { operation, schemas }
}

impl Route {
    /// Builds the row from the documentation of the operation.
    pub fn new<P>(gate: Gate, handler: fn() -> actix_web::Route) -> Self
    where
        P: utoipa::Path + utoipa::__dev::SchemaReferences + for<'t> utoipa::__dev::Tags<'t>,
    {
        let method = match P::methods().first() {
            Some(HttpMethod::Post) => Method::POST,
            Some(HttpMethod::Put) => Method::PUT,
            Some(HttpMethod::Delete) => Method::DELETE,
            Some(HttpMethod::Patch) => Method::PATCH,
            Some(HttpMethod::Head) => Method::HEAD,
            _ => Method::GET,
        };
        Self { method, path: P::path(), gate, presence: Presence::Always, handler, documentation: documentation::<P> }
    }

    /// The same, there only at times.
    #[must_use]
    pub fn only(self, presence: Presence) -> Self {
        Self { presence, ..self }
    }
}

/// Makes a [`Route`] of a module that holds one operation named `handler`: `route!(Gate::…, teams::create)`.
#[macro_export]
macro_rules! route {
    ($gate:expr, $($module:ident)::+) => {
        $crate::edge::Route::new::<$($module)::+::__path_handler>(
            $gate,
            || ::actix_web::web::route().to($($module)::+::handler),
        )
    };
}
