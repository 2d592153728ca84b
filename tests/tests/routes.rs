//! The route table against the contract that existing clients rely on.

use certctl_http::edge::Gate;
use std::collections::BTreeMap;

/// Operations beyond the inherited contract, each with why it is there.
const ADDED: &[(&str, &str, &str)] = &[
    ("GET", "/api/v1/openapi.json", "the API describes itself"),
    ("GET", "/api/v1/docs", "the reference as a page, offline"),
    ("GET", "/api/v1/auth/api-keys", "keys had no lifecycle"),
    ("POST", "/api/v1/auth/api-keys", "keys had no lifecycle"),
    ("POST", "/api/v1/auth/api-keys/{id}/rotate", "keys had no lifecycle"),
    ("PATCH", "/api/v1/auth/api-keys/{id}", "keys had no lifecycle"),
    ("DELETE", "/api/v1/auth/api-keys/{id}", "keys had no lifecycle"),
    ("GET", "/api/v1/auth/actors/{type}/{id}/roles", "roles could be granted to keys only"),
    ("POST", "/api/v1/auth/actors/{type}/{id}/roles", "roles could be granted to keys only"),
    ("PUT", "/api/v1/auth/actors/{type}/{id}/roles", "exchanging roles took several calls with a gap between"),
    ("DELETE", "/api/v1/auth/actors/{type}/{id}/roles/{role_id}", "roles could be granted to keys only"),
    ("GET", "/api/v1/auth/actors/{type}/{id}/scope-down", "suggestions came from guesses of the client"),
    ("GET", "/api/v1/auth/explain", "nobody could see which grant decides"),
    ("POST", "/api/v1/auth/session", "a browser needs not keep an API key"),
    ("POST", "/api/v1/auth/sessions/signing-keys/rotate", "keys of cookies never changed"),
    ("GET", "/api/v1/auth/oidc/providers/{id}", "one provider could not be read"),
    ("PATCH", "/api/v1/auth/oidc/providers/{id}", "switching a provider off took its whole configuration"),
    ("POST", "/api/v1/auth/oidc/providers/{id}/archive", "a provider with people could never be taken out of use"),
    (
        "DELETE",
        "/api/v1/auth/oidc/providers/{id}/sessions",
        "a provider that is not trusted any more must lose its sessions",
    ),
    ("POST", "/api/v1/auth/oidc/group-mappings/import", "hundreds of groups took hundreds of calls"),
    ("GET", "/api/v1/auth/oidc/group-mappings/{id}", "one mapping could not be read"),
    ("PUT", "/api/v1/auth/oidc/group-mappings/{id}", "mappings could not be changed"),
    ("PATCH", "/api/v1/auth/oidc/group-mappings/{id}", "mappings could not be changed"),
    ("GET", "/api/v1/auth/users/{id}", "one person could not be read"),
    ("POST", "/api/v1/auth/users/{id}/purge", "personal data could not be removed before its time"),
    ("GET", "/api/v1/auth/users/{id}/export", "a person may know what is kept about them"),
    ("POST", "/auth/breakglass/webauthn", "an emergency password had no second factor"),
    ("POST", "/api/v1/auth/breakglass/webauthn/registrations", "an emergency password had no second factor"),
    ("GET", "/api/v1/auth/breakglass/webauthn/keys", "an emergency password had no second factor"),
    ("POST", "/api/v1/auth/breakglass/webauthn/keys", "an emergency password had no second factor"),
    (
        "DELETE",
        "/api/v1/auth/breakglass/credentials/{actor_id}/security-keys/{id}",
        "a lost security key must not let anybody in",
    ),
    ("GET", "/", "there is no dashboard yet"),
    ("GET", "/login", "the page that people sign in on was part of a dashboard that never showed it"),
    ("GET", "/login/page.css", "its style"),
    ("GET", "/login/page.js", "its script"),
    ("POST", "/auth/session-form", "the page works without script"),
    ("POST", "/auth/breakglass/login-form", "the page works without script"),
    ("POST", "/auth/logout-form", "the page works without script"),
    ("POST", "/api/v1/approvals/{id}/withdraw", "who asked may take it back"),
    ("POST", "/api/v1/approvals/{id}/comments", "a decision needs a conversation"),
    ("POST", "/api/v1/certificates/{id}/versions", "issue from a CSR that the operator holds"),
    ("PATCH", "/api/v1/profiles/{id}", "a change of some members, by the method that says so"),
    ("POST", "/api/v1/certificates/{id}/unrevoke", "a hold could not be lifted"),
    ("POST", "/api/v1/certificates/preview", "what would be issued, and why not, without issuing"),
    ("GET", "/api/v1/audit/checkpoint", "the signed head of the sealed log"),
    ("POST", "/api/v1/audit/checkpoint", "the signed head of the sealed log, now"),
    ("GET", "/api/v1/audit/verify", "how the log stands"),
    ("POST", "/api/v1/audit/verify", "verify the log in the background"),
    ("GET", "/api/v1/audit/{id}/proof", "that an event is in the log"),
    ("GET", "/api/v1/audit/consistency", "that the log only grew"),
    ("GET", "/api/v1/audit/tile/{level}/{index:.*}", "the log's tiles, for mirrors"),
    ("GET", "/.well-known/pki/crl/{issuer_id}.crl", "the name that clients expect of a CRL file"),
    ("GET", "/.well-known/pki/crl/{issuer_id}/{ca_id}", "a CA's list goes on when the issuer has another CA"),
    ("GET", "/.well-known/pki/ca/{issuer_id}/{ca_id}", "a CA's certificate, whatever CA came after it"),
    ("POST", "/api/v1/intermediates/{id}/activate", "nothing said which CA of a tree signs leaves"),
    ("POST", "/api/v1/admin/crl/{issuer_id}/regenerate", "nobody could ask for a new list"),
    ("GET", "/.well-known/pki/ca/{issuer_id}", "caIssuers of the AIA extension"),
    ("GET", "/.well-known/pki/ca/{issuer_id}.cer", "the name that clients expect of a certificate file"),
];

/// Gates that differ from the inherited contract on purpose.
const REGATED: &[(&str, &str, &str, &str)] = &[
    ("GET", "/api/v1/certificates/{id}/export/pem", "cert.export", "reading is not exporting"),
    ("POST", "/api/v1/certificates/{id}/export/pkcs12", "cert.export", "reading is not exporting"),
    ("GET", "/api/v1/auth/sessions", "authenticated", "the use case lets everybody see their own"),
    ("DELETE", "/api/v1/auth/sessions/{id}", "authenticated", "the use case lets everybody end their own"),
    ("DELETE", "/api/v1/auth/sessions", "authenticated", "the use case lets everybody end their own"),
];

fn gate_text(gate: Gate) -> String {
    match gate {
        Gate::Permission(permission) | Gate::Objects(permission) | Gate::Enrolment(permission) => {
            permission.as_str().to_owned()
        }
        Gate::Scoped(permission, kind) => format!("{}@{}", permission.as_str(), kind.as_str()),
        Gate::Authenticated => "authenticated".to_owned(),
        Gate::Public(_) => "exempt".to_owned(),
    }
}

#[test]
fn every_route_built_so_far_has_the_address_and_gate_of_the_contract() {
    let contract: BTreeMap<(String, String), String> = include_str!("../fixtures/routes.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.split('\t');
            Some(((columns.next()?.to_owned(), columns.next()?.to_owned()), columns.next()?.to_owned()))
        })
        .collect();
    let mut problems = Vec::new();
    for route in certctl_http::routes::all() {
        let (method, path) = (route.method.as_str().to_owned(), route.path.clone());
        let gate = gate_text(route.gate);
        if let Some((_, _, wanted, _)) = REGATED.iter().find(|(m, p, _, _)| *m == method && *p == path) {
            if gate != *wanted {
                problems.push(format!("{method} {path}: gate {gate}, on purpose it should be {wanted}"));
            }
            continue;
        }
        let expected = contract.get(&(method.clone(), path.clone())).or_else(|| {
            // The contract writes one parameter for both GET forms of OCSP; protocols bring their own authentication.
            contract.get(&(method.clone(), path.replace("{request:.*}", "{serial}")))
        });
        match expected {
            Some(wanted) if *wanted == gate || (wanted == "protocol" && gate == "exempt") => {}
            Some(wanted) => problems.push(format!("{method} {path}: gate {gate}, the contract says {wanted}")),
            None if ADDED.iter().any(|(m, p, _)| *m == method && *p == path) => {}
            None => problems.push(format!("{method} {path} is neither in the contract nor in the list of additions")),
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
