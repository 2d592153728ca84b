//! The OpenAPI 3.1 document, built from the route table, and its reference page.

mod conventions;
pub(crate) mod values;

use crate::edge::{ApiError, Documentation, ErrorBody, Gate, Route};
use actix_web::http::Method;
use serde_json::Value;
use std::fmt::Write as _;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, KnownFormat, License, ObjectBuilder, OpenApiBuilder, PathsBuilder, Ref, RefOr,
    Response, ResponseBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// Statuses that the pipeline may answer for any operation.
const PIPELINE: &[(&str, &str)] = &[
    ("400", "The request is malformed or breaks a rule."),
    ("429", "A rate limit was reached; see Retry-After."),
    ("500", "A fault of the server."),
    ("503", "The database is unavailable, or another change was made at the same time; see Retry-After."),
    ("504", "The database took too long."),
];

/// A body of octets, as it is: DER and PKCS#12.
pub(crate) struct Octets;

impl PartialSchema for Octets {
    fn schema() -> RefOr<Schema> {
        let octets = ObjectBuilder::new().schema_type(Type::String);
        octets.format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))).into()
    }
}

impl ToSchema for Octets {}

/// The committed document, which is [`document`] of the whole table: a test holds them together. Serving it as it is spares a
/// server building it at every start, and the memory that this takes.
pub(crate) static COMMITTED: &str = include_str!("../../../openapi/openapi.json");

/// The document as pretty JSON with a final newline, the same bytes for the same table.
pub fn document(routes: &[Route]) -> String {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new().security_scheme(
        "api_key",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("cctl_<id>_<secret>")
                .description(Some("An API key, sent as `Authorization: Bearer <key>`."))
                .build(),
        ),
    );
    let session = ApiKeyValue::with_description(
        crate::edge::cookies::SESSION,
        "A browser's session. Requests that change something also carry its CSRF token, from the cookie \
         `__Host-certctl_csrf`, as `X-CSRF-Token`.",
    );
    components = components.security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    let mut error_schemas = Vec::new();
    ErrorBody::schemas(&mut error_schemas);
    components = components.schema("ErrorBody", ErrorBody::schema()).schemas_from_iter(error_schemas);
    for route in routes {
        let Documentation { mut operation, schemas } = (route.documentation)();
        operation.operation_id = Some(operation_id(route));
        let note = gate_note(route.gate);
        operation.description = Some(match operation.description.take() {
            Some(text) => format!("{text}\n\n{note}"),
            None => note,
        });
        for (status, text) in PIPELINE {
            declare(&mut operation.responses.responses, status, text);
        }
        if !matches!(route.gate, Gate::Public(_)) {
            let either = ["api_key", "session"].map(|way| SecurityRequirement::new::<_, [&str; 0], &str>(way, []));
            operation.security = Some(either.into());
            declare(&mut operation.responses.responses, "401", "No credential, or one that is not valid.");
            declare(&mut operation.responses.responses, "403", "The caller lacks the permission or the CSRF token.");
        }
        if operation.request_body.is_some() {
            declare(&mut operation.responses.responses, "413", "The body is too large.");
            declare(&mut operation.responses.responses, "415", "The body is not JSON.");
        }
        if route.path.contains('{') {
            declare(&mut operation.responses.responses, "404", "The object does not exist.");
        }
        if matches!(route.method, Method::POST | Method::PUT | Method::DELETE) {
            declare(
                &mut operation.responses.responses,
                "409",
                "The object's state or a unique rule stands in the way.",
            );
        }
        let method = match route.method {
            Method::POST => HttpMethod::Post,
            Method::PUT => HttpMethod::Put,
            Method::DELETE => HttpMethod::Delete,
            Method::PATCH => HttpMethod::Patch,
            _ => HttpMethod::Get,
        };
        paths = paths.path(template(&route.path), PathItem::new(method, operation));
        components = components.schemas_from_iter(schemas);
    }
    let document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("certctl")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Control plane for the life of certificates: issue, renew, deploy, revoke, prove."))
                .license(Some(License::new("Apache-2.0")))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.build()))
        .build();
    // Through a JSON value with sorted maps, so that the committed file changes only when the API does. Whether maps
    // are sorted by themselves depends on what else is in the build (serde_json's `preserve_order`).
    let mut value = serde_json::to_value(&document).unwrap_or(Value::Null);
    conventions::apply(&mut value);
    value.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

fn declare(responses: &mut std::collections::BTreeMap<String, RefOr<Response>>, status: &str, text: &str) {
    responses.entry(status.to_owned()).or_insert_with(|| {
        RefOr::T(
            ResponseBuilder::new()
                .description(text)
                .content(
                    "application/json",
                    ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("ErrorBody")))).build(),
                )
                .build(),
        )
    });
}

fn gate_note(gate: Gate) -> String {
    match gate {
        Gate::Permission(permission) => format!("Permission: `{}`.", permission.as_str()),
        Gate::Objects(permission) => {
            format!("Permission: `{}`, globally or for the profile or issuer concerned.", permission.as_str())
        }
        Gate::Scoped(permission, kind) => {
            format!("Permission: `{}`, globally or for this {}.", permission.as_str(), kind.as_str())
        }
        Gate::Authenticated => "Any authenticated caller.".to_owned(),
        Gate::Enrolment(permission) => format!("Permission: `{}`, or an enrolment token.", permission.as_str()),
        Gate::Public(reason) => format!("Public: {reason}."),
    }
}

/// The address as OpenAPI writes it: `{request:.*}`, which also matches slashes, is `{request}` there.
fn template(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut skipping = false;
    for c in path.chars() {
        skipping = match c {
            ':' => true,
            '/' | '}' => false,
            _ => skipping,
        };
        if !skipping {
            plain.push(c);
        }
    }
    plain
}

/// `GET /api/v1/auth/api-keys/{id}` → `get_auth_api_keys_by_id`: stable names for generated clients.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1").replace('{', "by_").replace('}', "");
    let words: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let words: Vec<_> = words.split('_').filter(|word| !word.is_empty()).collect();
    format!("{}_{}", route.method.as_str().to_ascii_lowercase(), words.join("_"))
}

/// The style of the reference page; the page's content security policy names its hash.
pub(crate) const REFERENCE_STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
         summary{font-family:ui-monospace,monospace;cursor:pointer;padding:.25rem 0}\
         .m{display:inline-block;min-width:4.5rem;font-weight:700}table{border-collapse:collapse}\
         td,th{border:1px solid #bbb;padding:.2rem .6rem;text-align:left;vertical-align:top}\
         pre{background:#f5f5f5;padding:.6rem;overflow:auto}";

/// Renders the document as one HTML page.
pub(crate) fn reference_page(document: &str) -> Result<String, ApiError> {
    let value: Value = serde_json::from_str(document).map_err(|error| ApiError::internal(&error.to_string()))?;
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>certctl API</title><style>",
    );
    page.push_str(REFERENCE_STYLE);
    page.push_str(
        "</style></head><body><h1>certctl API</h1>\
         <p>The machine-readable description is at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>",
    );
    let mut tag_of_last = String::new();
    let mut operations = Vec::new();
    for (path, item) in value["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or("other").to_owned();
            operations.push((tag, path.clone(), method.clone(), operation.clone()));
        }
    }
    operations.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
    for (tag, path, method, operation) in operations {
        if tag != tag_of_last {
            push(&mut page, format_args!("<h2>{}</h2>", escape(&tag)));
            tag_of_last = tag;
        }
        push(
            &mut page,
            format_args!(
                "<details><summary><span class=\"m\">{}</span>{}</summary><p>{}</p>",
                escape(&method.to_uppercase()),
                escape(&path),
                escape(operation["description"].as_str().unwrap_or_default()).replace('\n', "<br>")
            ),
        );
        parameters(&mut page, &operation);
        if let Some(body) = schema_name(&operation["requestBody"]["content"]["application/json"]["schema"]) {
            push(&mut page, format_args!("<p>Body: <a href=\"#{0}\">{0}</a></p>", escape(&body)));
        }
        page.push_str("<table><tr><th>Status</th><th>Meaning</th><th>Body</th></tr>");
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let body = response["content"]
                .as_object()
                .and_then(|content| content.values().next())
                .and_then(|media| schema_name(&media["schema"]))
                .map_or_else(String::new, |name| format!("<a href=\"#{0}\">{0}</a>", escape(&name)));
            push(
                &mut page,
                format_args!(
                    "<tr><td>{}</td><td>{}</td><td>{body}</td></tr>",
                    escape(status),
                    escape(response["description"].as_str().unwrap_or_default())
                ),
            );
        }
        page.push_str("</table></details>");
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in value["components"]["schemas"].as_object().into_iter().flatten() {
        let text = serde_json::to_string_pretty(schema).map_err(|error| ApiError::internal(&error.to_string()))?;
        push(&mut page, format_args!("<h3 id=\"{0}\">{0}</h3><pre>{1}</pre>", escape(name), escape(&text)));
    }
    page.push_str("</body></html>");
    Ok(page)
}

fn parameters(page: &mut String, operation: &Value) {
    let Some(parameters) = operation["parameters"].as_array().filter(|list| !list.is_empty()) else { return };
    page.push_str("<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>");
    for parameter in parameters {
        let text = |member: &str| escape(parameter[member].as_str().unwrap_or_default());
        push(
            page,
            format_args!("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", text("name"), text("in"), text("description")),
        );
    }
    page.push_str("</table>");
}

fn schema_name(schema: &Value) -> Option<String> {
    schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).map(ToOwned::to_owned)
}

fn push(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    page.write_fmt(arguments).unwrap_or_default();
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_that_of_the_code() {
        assert!(
            COMMITTED == document(&crate::routes::all()),
            "openapi/openapi.json is out of date: run `just openapi`"
        );
    }

    #[test]
    fn every_operation_is_documented_once_with_its_gate() {
        let routes = crate::routes::all();
        let document: Value = serde_json::from_str(&document(&routes)).expect("JSON");
        let mut ids = std::collections::HashSet::new();
        for route in &routes {
            let operation = &document["paths"][template(&route.path)][route.method.as_str().to_ascii_lowercase()];
            let id = operation["operationId"].as_str().expect("documented");
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            assert_eq!(
                operation["security"].as_array().is_some_and(|ways| !ways.is_empty()),
                !matches!(route.gate, Gate::Public(_)),
                "{} {} documents its security",
                route.method,
                route.path
            );
        }
    }

    #[test]
    fn every_parameter_of_an_address_is_declared() {
        let document: Value = serde_json::from_str(&document(&crate::routes::all())).expect("JSON");
        for (path, item) in document["paths"].as_object().expect("paths") {
            let wanted: Vec<_> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            for (method, operation) in item.as_object().expect("operations") {
                let declared = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
                let declared: Vec<_> =
                    declared.iter().filter(|p| p["in"] == "path").filter_map(|p| p["name"].as_str()).collect();
                assert_eq!(declared, wanted, "{method} {path}");
            }
        }
    }

    #[test]
    fn the_reference_page_escapes_what_it_shows() {
        let page = reference_page(r#"{"paths":{"/<x>":{"get":{"tags":["<t>"]}}}}"#).expect("renders");
        assert!(page.contains("&lt;x&gt;") && !page.contains("<x>"));
    }
}
