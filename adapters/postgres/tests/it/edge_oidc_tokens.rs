//! Token forgery: every vector through the edge, none of which may end in a session.

use crate::hostile::{ACCESS_TOKEN, CODE, KEYS, KeySet, changed, maced, published, raw_token, signed};
use crate::sign_in::{ADDRESS, BROWSER, Back, Lab, PENDING, SESSION, settings};
use actix_web::http::Method;
use certctl_oidc::claims::at_hash;
use certctl_oidc::{Algorithm, BrowserBinding};
use certctl_session::SameSite;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn ic_07_a_person_signs_in_with_the_roles_of_their_groups_and_every_part_is_on_record() {
    let lab = Lab::new().await;
    let started = lab.start().await;
    assert_eq!(lab.idp.hits("/keys"), 1, "metadata and keys were fetched to begin");
    let url = url::Url::parse(&started.url).expect("a URL");
    let asked: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "certctl"),
        ("redirect_uri", "https://pki.corp.example/auth/oidc/callback"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("access_type", "online"),
    ] {
        assert_eq!(asked.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!([started.state.len(), started.nonce.len(), started.challenge.len()], [43, 43, 43]);
    let outcome = lab.here.back(&started.back()).await;
    assert_eq!((outcome.status, outcome.location.as_str()), (302, "/"), "{outcome:?}");
    for (name, attributes) in [
        (SESSION, &["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Expires="][..]),
        ("__Host-certctl_csrf", &["SameSite=Lax", "Secure", "Path=/", "Expires="]),
        (PENDING, &["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=0"]),
    ] {
        for attribute in attributes {
            assert!(outcome.cookies[name].contains(attribute), "{name}: {attribute}: {outcome:?}");
        }
        assert!(!outcome.cookies[name].contains("Domain"), "{outcome:?}");
    }
    assert_eq!(outcome.headers["referrer-policy"], "same-origin", "TL-12");
    let me = lab.here.as_signed_in("/api/v1/auth/me", outcome.cookie(SESSION).expect("a session")).await;
    assert_eq!(me.status, 200, "{me:?}");
    assert!(me.body.contains("r-operator"), "{me:?}");
    assert_eq!(lab.held().await, ["r-operator"]);
    let told = lab
        .texts(
            "SELECT details->>'issuer' || ' ' || (details->>'subject') || ' ' || (details->>'provider_id') || ' ' || \
             (details->>'role_ids') FROM audit.events WHERE action = 'auth.oidc_login_succeeded'",
        )
        .await;
    assert_eq!(told, [format!("{} subject-1 op-1 [\"r-operator\"]", lab.idp.issuer)], "IC-07");
    let ends = "SELECT count(*) FROM iam.grants g JOIN iam.sessions s ON s.actor_id = g.actor_id \
                WHERE g.source = 'oidc:op-1' AND g.expires_at = s.absolute_expires_at";
    assert_eq!(lab.count(ends).await, 1, "the role ends with the session");
}

#[tokio::test]
async fn each_allowed_algorithm_is_accepted_and_the_secret_goes_by_post_where_basic_is_refused() {
    let lab = Lab::new().await;
    lab.idp.script(|script| script.post_only = true);
    for (algorithm, key) in
        [("RS256", &KEYS.rsa), ("RS512", &KEYS.rsa), ("ES256", &KEYS.p256), ("ES384", &KEYS.p384), ("EdDSA", &KEYS.ed)]
    {
        lab.idp.script(|script| {
            script.algorithm = algorithm;
            script.key = key.clone();
            script.keys = KeySet::Keys(vec![published(key, algorithm)]);
            script.header = json!({"kid": algorithm});
        });
        lab.pass(31);
        let outcome = lab.sign_in().await;
        assert!(outcome.signed_in(), "{algorithm}: {outcome:?} {:?}", lab.failures().await);
    }
    assert_eq!(lab.count("SELECT count(*) FROM iam.users").await, 1, "one person");
    assert!(lab.idp.sent().iter().all(|body| body.contains("code_verifier=")));
}

#[tokio::test]
async fn tf_01_a_mac_keyed_with_the_providers_public_key_is_refused() {
    let lab = Lab::new().await;
    let public = KEYS.rsa.to_public_key().expect("a public part");
    let jwk = public.to_string();
    let pem = josekit::jwk::alg::rsa::RsaKeyPair::from_jwk(&KEYS.rsa).expect("a pair").to_pem_public_key();
    for secret in [jwk.into_bytes(), pem] {
        lab.idp.script(|script| {
            script.keys = KeySet::Keys(vec![published(&KEYS.rsa, "k1")]);
            script.token = Some(Arc::new(move |claims| maced(&secret, claims)));
        });
        lab.refused("alg_rejected").await;
    }
}

#[tokio::test]
async fn tf_02_tokens_without_a_signature_are_refused() {
    let lab = Lab::new().await;
    for name in ["none", "None", "nOnE", "NONE"] {
        lab.idp.script(|script| {
            script.token = Some(Arc::new(move |claims| {
                raw_token(&json!({"alg": name, "kid": "k1"}).to_string(), &claims.to_string(), "")
            }));
        });
        lab.refused("alg_rejected").await;
    }
}

#[tokio::test]
async fn tf_03_headers_and_tokens_that_are_none_are_refused() {
    let lab = Lab::new().await;
    let make: [fn(&Value) -> String; 6] = [
        |claims| raw_token("{}", &claims.to_string(), "c2ln"),
        |claims| raw_token("{\"alg\":7}", &claims.to_string(), "c2ln"),
        |_| "%%%.e30.c2ln".to_owned(),
        |claims| {
            signed("ES256", &KEYS.p256, &json!({"kid": "k1"}), claims).rsplit_once('.').expect("parts").0.to_owned()
        },
        |claims| format!("{}.x", signed("ES256", &KEYS.p256, &json!({"kid": "k1"}), claims)),
        |_| "not a token".to_owned(),
    ];
    for make in make {
        lab.idp.script(|script| script.token = Some(Arc::new(make)));
        lab.refused("alg_rejected").await;
    }
}

#[tokio::test]
async fn tf_04_keys_of_another_type_or_use_do_not_verify() {
    let lab = Lab::new().await;
    let rsa_named_k1 = published(&KEYS.rsa, "k1");
    let encryption = changed(published(&KEYS.p256, "k1"), &json!({"use": "enc"}));
    let other_algorithm = changed(published(&KEYS.p256, "k1"), &json!({"alg": "ES384"}));
    for key in [rsa_named_k1, encryption, other_algorithm] {
        lab.idp.script(|script| script.keys = KeySet::Keys(vec![key]));
        lab.pass(3601);
        lab.refused("signature_invalid").await;
    }
}

#[tokio::test]
async fn tf_05_unknown_keys_are_looked_for_once() {
    let lab = Lab::new().await;
    lab.idp.script(|script| script.key = KEYS.stranger.clone());
    lab.refused("signature_invalid").await;
    assert_eq!(lab.idp.hits("/keys"), 1, "a known key that did not sign is no reason to ask again");
    lab.idp.script(|script| script.header = json!({"kid": "unknown"}));
    lab.refused("signature_invalid").await;
    assert_eq!(lab.idp.hits("/keys"), 2, "an unknown key is");
    lab.pass(31);
    lab.refused("signature_invalid").await;
    assert_eq!(lab.idp.hits("/keys"), 2, "and is remembered as unknown");
}

#[tokio::test]
async fn tf_06_a_token_for_another_client_is_refused() {
    let lab = Lab::new().await;
    for audience in [json!("other"), json!(["other"]), json!([]), json!("absent"), json!("CERTCTL")] {
        lab.idp.script(|script| script.claims = json!({ "aud": audience }));
        lab.refused("audience_mismatch").await;
    }
}

#[tokio::test]
async fn tf_07_the_authorized_party_must_be_this_client() {
    let lab = Lab::new().await;
    for claims in [
        json!({"aud": ["certctl", "other"]}),
        json!({"aud": ["certctl", "other"], "azp": "other"}),
        json!({"azp": "other"}),
    ] {
        lab.idp.script(|script| script.claims = claims);
        lab.refused("azp_mismatch").await;
    }
}

#[tokio::test]
async fn tf_08_the_issuer_is_compared_by_the_letter() {
    let lab = Lab::new().await;
    let issuer = lab.idp.issuer.clone();
    for told in ["https://other.example".to_owned(), format!("{issuer}/"), issuer.to_uppercase()] {
        lab.idp.script(|script| script.claims = json!({ "iss": told }));
        lab.refused("id_token_iss_mismatch").await;
    }
}

#[tokio::test]
async fn tf_09_a_provider_that_says_who_answers_must_say_so() {
    let lab = Lab::new().await;
    lab.idp.script(|script| script.discovery = json!({"authorization_response_iss_parameter_supported": true}));
    lab.refused("iss_param_missing").await;
    for told in ["https://other.example".to_owned(), format!("{}/", lab.idp.issuer), format!(" {}", lab.idp.issuer)] {
        let started = lab.start().await;
        let mut back = started.back();
        back.query.push(("iss", told));
        assert_eq!(lab.here.back(&back).await.reason(), "iss_param_mismatch");
    }
    let started = lab.start().await;
    let mut back = started.back();
    back.query.push(("iss", lab.idp.issuer.clone()));
    assert!(lab.here.back(&back).await.signed_in());
}

#[tokio::test]
async fn tf_10_where_it_does_not_say_so_iss_is_ignored() {
    let lab = Lab::new().await;
    let started = lab.start().await;
    let mut back = started.back();
    back.query.push(("iss", "https://anything.example".to_owned()));
    assert!(lab.here.back(&back).await.signed_in());
}

#[tokio::test]
async fn tf_11_the_nonce_is_that_of_the_sign_in() {
    let lab = Lab::new().await;
    for nonce in ["absent", "other", ""] {
        lab.idp.script(|script| script.claims = json!({ "nonce": nonce }));
        lab.refused("nonce_mismatch").await;
    }
    lab.idp.reset();
    let first = lab.start().await;
    let second = lab.start().await;
    lab.idp.script(|script| script.nonce.clone_from(&first.nonce));
    assert_eq!(lab.here.back(&second.back()).await.reason(), "nonce_mismatch", "of another sign-in");
}

#[tokio::test]
async fn tf_12_the_state_is_that_of_the_browser() {
    let lab = Lab::new().await;
    let (mine, theirs) = (lab.start().await, lab.start().await);
    for state in [theirs.state, format!("{}x", mine.state), "x".to_owned()] {
        let started = lab.start().await;
        let back = Back { query: vec![("code", CODE.to_owned()), ("state", state)], ..started.back() };
        let outcome = lab.here.back(&back).await;
        assert_eq!(outcome.reason(), "state_mismatch");
    }
    assert_eq!(lab.sessions().await, 0);
    assert!(lab.idp.sent().is_empty(), "no code was given away");
}

#[tokio::test]
async fn tf_13_an_answer_is_good_once_also_for_two_at_the_same_time() {
    let lab = Lab::new().await;
    let started = lab.start().await;
    assert!(lab.here.back(&started.back()).await.signed_in());
    assert_eq!(lab.here.back(&started.back()).await.reason(), "pre_login_consume_failed");
    let other = lab.replica().await;
    let started = lab.start().await;
    let back = started.back();
    let (one, two) = tokio::join!(lab.here.back(&back), other.back(&back));
    let mut reasons = [one.reason().to_owned(), two.reason().to_owned()];
    reasons.sort_unstable();
    assert_eq!(reasons, ["/", "pre_login_consume_failed"]);
    assert_eq!(lab.sessions().await, 2, "one of each sign-in");
}

#[tokio::test]
async fn tf_14_a_sign_in_ends_after_ten_minutes() {
    let lab = Lab::new().await;
    let started = lab.start().await;
    lab.pass(601);
    assert_eq!(lab.here.back(&started.back()).await.reason(), "pre_login_consume_failed");
    let started = lab.start().await;
    lab.pass(599);
    let outcome = lab.here.back(&started.back()).await;
    assert!(outcome.signed_in(), "{outcome:?} {:?}", lab.failures().await);
}

#[tokio::test]
async fn tf_15_forged_cookies_of_a_sign_in_are_refused() {
    let lab = Lab::new().await;
    let other = lab.start().await;
    let started = lab.start().await;
    let parts: Vec<&str> = started.cookie.split('.').collect();
    let [version, id, key, mac, sealed] = parts[..] else { panic!("five parts: {}", started.cookie) };
    let elsewhere = other.cookie.rsplit_once('.').expect("parts").1;
    for forged in [
        format!("{version}.{id}.{key}.{}.{sealed}", BASE64URL_NOPAD.encode(&[0; 32])),
        format!("v2.{id}.{key}.{mac}.{sealed}"),
        format!("{id}.{key}.{mac}.{sealed}"),
        format!("{version}.ses-{id}.{key}.{mac}.{sealed}"),
        format!("{version}.{id}.sk-other.{mac}.{sealed}"),
        format!("{version}.{id}.{key}.{mac}.{elsewhere}"),
        format!("{version}.{id}.{key}.{mac}."),
        format!("{version}.{id}.{key}.{mac}"),
        format!("{version}.{id}.{key}.{mac}.{}", "A".repeat(5000)),
        format!("{version}.{}.{key}.{mac}.{sealed}", "p".repeat(5000)),
        "x".to_owned(),
        "....".to_owned(),
    ] {
        let outcome = lab.here.back(&Back { cookie: Some(forged.clone()), ..started.back() }).await;
        assert_eq!(outcome.reason(), "pre_login_consume_failed", "{forged}");
    }
    assert!(lab.here.back(&started.back()).await.signed_in(), "none of them used it up");
    assert_eq!(lab.failures().await, ["pre_login_consume_failed"], "a flood of one source is one event at first");
}

#[tokio::test]
async fn tf_16_the_cookies_can_not_be_exchanged() {
    let lab = Lab::new().await;
    let session = lab.sign_in().await.cookie(SESSION).expect("a session").to_owned();
    let started = lab.start().await;
    for cookie in [session.clone(), format!("{session}.{}", started.cookie.rsplit_once('.').expect("parts").1)] {
        let back = Back { cookie: Some(cookie), ..started.back() };
        assert_eq!(lab.here.back(&back).await.reason(), "pre_login_consume_failed");
    }
    for value in [started.cookie.clone(), started.cookie.rsplit_once('.').expect("parts").0.to_owned()] {
        assert_eq!(lab.here.as_signed_in("/api/v1/auth/me", &value).await.status, 401);
    }
}

#[tokio::test]
async fn tf_17_another_browser_can_not_come_back() {
    let lab = Lab::new().await;
    for (user_agent, category) in [(Some("Other/1.0"), "prelogin_ua_mismatch"), (None, "prelogin_ua_missing")] {
        let started = lab.start().await;
        let outcome = lab.here.back(&Back { user_agent, ..started.back() }).await;
        assert_eq!(outcome.reason(), category);
        assert_eq!(lab.here.back(&started.back()).await.reason(), "pre_login_consume_failed", "and used it up");
    }
    assert_eq!(lab.sessions().await, 0);
}

#[tokio::test]
async fn tf_18_nor_one_from_another_place() {
    let lab = Lab::new().await;
    for (address, category) in [(Some("192.0.2.8"), "prelogin_ip_mismatch"), (None, "prelogin_ip_missing")] {
        let started = lab.start().await;
        let outcome = lab.here.back(&Back { address, ..started.back() }).await;
        assert_eq!(outcome.reason(), category);
    }
    assert_eq!(lab.sessions().await, 0);
    let started = lab.start().await;
    let spoofed = crate::sign_in::browser(
        actix_web::test::TestRequest::get()
            .uri(&format!("/auth/oidc/callback?code={CODE}&state={}", started.state))
            .insert_header(("X-Forwarded-For", ADDRESS))
            .insert_header(("Cookie", format!("{PENDING}={}", started.cookie))),
        Some(BROWSER),
        Some("192.0.2.8"),
    );
    assert_eq!(lab.here.send(spoofed).await.reason(), "prelogin_ip_mismatch", "SH-14: a stranger forwards nothing");
}

#[tokio::test]
async fn tf_19_the_binding_can_be_switched_off() {
    let mut settings = settings();
    settings.binding = BrowserBinding { user_agent: false, source_ip: false };
    let lab = Lab::with(settings, SameSite::Lax).await;
    let started = lab.start().await;
    let back = Back { user_agent: Some("Other/1.0"), address: Some("192.0.2.8"), ..started.back() };
    assert!(lab.here.back(&back).await.signed_in());
    let kept = lab.texts("SELECT ip_address || ' ' || user_agent FROM iam.sessions").await;
    assert_eq!(kept, ["192.0.2.8 Other/1.0"], "what is there is stored all the same");
}

#[tokio::test]
async fn tf_20_a_swapped_access_token_is_noticed_for_each_algorithm() {
    let lab = Lab::new().await;
    for (algorithm, key) in
        [("RS256", &KEYS.rsa), ("RS512", &KEYS.rsa), ("ES256", &KEYS.p256), ("ES384", &KEYS.p384), ("EdDSA", &KEYS.ed)]
    {
        lab.idp.script(|script| {
            script.algorithm = algorithm;
            script.key = key.clone();
            script.keys = KeySet::Keys(vec![published(key, "k1")]);
            let told = at_hash(Algorithm::parse(algorithm).expect("known"), "access-token-0002");
            script.claims = json!({ "at_hash": told });
        });
        lab.pass(3601);
        lab.refused("at_hash_mismatch").await;
    }
    assert_ne!(ACCESS_TOKEN, "access-token-0002");
}

#[tokio::test]
async fn tf_21_at_hash_may_be_missing_unless_it_is_required() {
    let lab = Lab::new().await;
    lab.provider("op-2", &json!({"require_at_hash": true})).await;
    lab.map("op-2", "eng", "r-operator").await;
    lab.idp.script(|script| script.claims = json!({"at_hash": "absent"}));
    assert!(lab.sign_in_at("op-1").await.signed_in());
    assert_eq!(lab.sign_in_at("op-2").await.reason(), "at_hash_mismatch");
}

#[tokio::test]
async fn tf_22_tf_23_times_are_held_to() {
    let lab = Lab::new().await;
    let now = lab.db.ambient.now().unix_timestamp();
    for (claims, category) in [
        (json!({"exp": now - 61}), "token_expired"),
        (json!({"exp": "absent"}), "token_expired"),
        (json!({"iat": now + 61}), "iat_window"),
        (json!({"iat": now - 301}), "iat_window"),
        (json!({"iat": "absent"}), "iat_window"),
        (json!({"nbf": now + 301}), "iat_window"),
    ] {
        lab.idp.script(|script| script.claims = claims);
        lab.refused(category).await;
    }
    lab.idp.script(|script| script.claims = json!({"exp": now - 30, "iat": now + 30}));
    assert!(lab.sign_in().await.signed_in());
}

#[tokio::test]
async fn tf_24_ic_09_a_provider_that_weakens_is_refused_at_load_and_keeps_nothing_alive() {
    let lab = Lab::new().await;
    for weak in [json!(["HS256"]), json!(["none"]), json!(["HS256", "HS384", "HS512", "none"])] {
        lab.idp.script(|script| script.discovery = json!({ "id_token_signing_alg_values_supported": weak }));
        lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
        let outcome = lab.here.get("/auth/oidc/login?provider=op-1").await;
        assert_eq!(outcome.status, 500, "{outcome:?}");
        assert!(outcome.body.contains("could not initiate OIDC login"), "{outcome:?}");
        assert_eq!(lab.failures().await.last().map(String::as_str), Some("alg_rejected"));
    }
    lab.idp.reset();
    lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
    let started = lab.start().await;
    lab.idp.script(|script| script.discovery = json!({"id_token_signing_alg_values_supported": ["HS256"]}));
    assert!(lab.here.back(&started.back()).await.signed_in(), "what was bound before holds for its time");
    lab.pass(3601);
    let page = lab.here.send(crate::sign_in::browser(
        actix_web::test::TestRequest::get()
            .uri("/auth/oidc/login?provider=op-1")
            .insert_header(("Accept", "text/html,application/xhtml+xml")),
        Some(BROWSER),
        Some(ADDRESS),
    ));
    assert_eq!(page.await.reason(), "alg_rejected", "then no longer, and a browser reads why");
}

#[tokio::test]
async fn tf_25_a_provider_that_also_names_macs_binds_and_its_macs_are_refused() {
    let lab = Lab::new().await;
    lab.idp.script(|script| script.discovery = json!({"id_token_signing_alg_values_supported": ["HS256", "RS256"]}));
    assert!(lab.sign_in().await.signed_in());
    lab.idp.script(|script| {
        script.token = Some(Arc::new(|claims| maced(b"hostile-client-secret-hostile-client", claims)));
    });
    lab.refused("alg_rejected").await;
}

#[tokio::test]
async fn tf_26_the_proof_must_be_that_of_the_sign_in() {
    let lab = Lab::new().await;
    let first = lab.start().await;
    let second = lab.start().await;
    lab.idp.script(|script| script.challenge.clone_from(&first.challenge));
    assert_eq!(lab.here.back(&second.back()).await.reason(), "pkce_invalid");
    assert!(second.url.contains("code_challenge_method=S256") && !second.url.contains("plain"));
    let tried = lab.here.get("/auth/oidc/login?provider=op-1&code_challenge_method=plain").await;
    assert!(tried.location.contains("code_challenge_method=S256") && !tried.location.contains("plain"), "{tried:?}");
}

#[tokio::test]
async fn tf_27_token_answers_without_one_id_token_are_refused() {
    let lab = Lab::new().await;
    let rest = "\"access_token\":\"a\",\"token_type\":\"Bearer\"";
    for (status, text) in [
        (200, format!("{{{rest}}}")),
        (200, format!("{{{rest},\"id_token\":\"\"}}")),
        (200, format!("{{{rest},\"id_token\":7}}")),
        (200, format!("{{{rest},\"id_token\":[\"x\"]}}")),
        (200, format!("{{{rest},\"id_token\":\"x\",\"id_token\":\"y\"}}")),
        (200, "<html>".to_owned()),
        (200, String::new()),
        (500, "{}".to_owned()),
        (302, String::new()),
        (200, format!("{{{rest},\"id_token\":\"{}\"}}", "x".repeat(2 * 1024 * 1024))),
    ] {
        lab.idp.script(|script| script.token_answer = Some((status, text)));
        lab.refused("token_exchange_failed").await;
    }
}

#[tokio::test]
async fn tf_28_keys_that_change_between_start_and_answer_are_found() {
    let lab = Lab::new().await;
    let started = lab.start().await;
    lab.idp.script(|script| {
        script.algorithm = "EdDSA";
        script.key = KEYS.ed.clone();
        script.keys = KeySet::Keys(vec![published(&KEYS.ed, "k2")]);
        script.header = json!({"kid": "k2"});
    });
    let outcome = lab.here.back(&started.back()).await;
    assert!(outcome.signed_in(), "{outcome:?} {:?}", lab.failures().await);
    assert_eq!(lab.idp.hits("/keys"), 2, "one more fetch");
}

#[tokio::test]
async fn tf_29_a_key_set_that_can_not_be_had_ends_in_time_and_touches_no_session() {
    let lab = Lab::new().await;
    let session = lab.sign_in().await.cookie(SESSION).expect("a session").to_owned();
    for keys in [
        KeySet::Text(503, "down".to_owned()),
        KeySet::Text(200, "<html>maintenance</html>".to_owned()),
        KeySet::Text(200, format!("{{\"keys\":[],\"x\":\"{}\"}}", "y".repeat(10 * 1024 * 1024))),
        KeySet::Silence,
    ] {
        lab.idp.script(|script| script.keys = keys);
        // Another configuration starts from nothing.
        lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
        let outcome = lab.here.get("/auth/oidc/login?provider=op-1").await;
        assert_eq!(outcome.status, 500, "{outcome:?}");
        assert_eq!(lab.failures().await.last().map(String::as_str), Some("jwks_unreachable"));
        assert_eq!(lab.here.as_signed_in("/api/v1/auth/me", &session).await.status, 200);
    }
    let asked = lab.idp.hits("/keys");
    assert_eq!(lab.here.get("/auth/oidc/login?provider=op-1").await.status, 500);
    assert_eq!(lab.idp.hits("/keys"), asked, "W22: an outage is not asked about again at once");
}

#[tokio::test]
async fn an_outage_is_bridged_with_older_keys_for_a_while() {
    let lab = Lab::new().await;
    assert!(lab.sign_in().await.signed_in());
    lab.idp.script(|script| script.discovery_answer = Some((503, String::new(), String::new())));
    lab.pass(3601);
    assert!(lab.sign_in().await.signed_in(), "the keys are older than they should be, and the provider is down");
    lab.pass(25 * 3600);
    assert_eq!(lab.here.get("/auth/oidc/login?provider=op-1").await.status, 500, "but not for ever");
}

#[tokio::test]
async fn tf_30_a_provider_that_names_itself_otherwise_is_not_loaded() {
    let lab = Lab::new().await;
    let issuer = lab.idp.issuer.clone();
    for told in [format!("{issuer}/"), "https://other.example".to_owned(), issuer.replace("localhost", "LOCALHOST")] {
        lab.idp.script(|script| script.discovery = json!({ "issuer": told }));
        lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
        assert_eq!(lab.here.get("/auth/oidc/login?provider=op-1").await.status, 500);
    }
    assert_eq!(lab.failures().await, ["unspecified"; 3]);
}

#[tokio::test]
async fn tf_31_userinfo_of_another_person_lends_no_groups() {
    let lab = Lab::new().await;
    lab.provider("op-2", &json!({"fetch_userinfo": true})).await;
    lab.map("op-2", "eng", "r-operator").await;
    lab.idp.script(|script| {
        script.claims = json!({"groups": "absent"});
        script.userinfo = (200, json!({"sub": "subject-2", "groups": ["eng"]}));
    });
    assert_eq!(lab.sign_in_at("op-2").await.reason(), "groups_missing");
    lab.idp.script(|script| script.userinfo = (200, json!({"groups": ["eng"]})));
    assert_eq!(lab.sign_in_at("op-2").await.reason(), "groups_missing");
    lab.idp.script(|script| script.userinfo = (200, json!({"sub": "subject-1", "groups": ["eng"]})));
    assert!(lab.sign_in_at("op-2").await.signed_in());
}

#[tokio::test]
async fn tf_32_addresses_must_be_of_a_listed_domain_and_verified() {
    let lab = Lab::new().await;
    lab.execute("UPDATE iam.oidc_providers SET allowed_email_domains = '{corp.example}'").await;
    for (claims, category) in [
        (json!({"email": "ada@other.example"}), "email_domain_not_allowed"),
        (json!({"email": "ada@sub.corp.example"}), "email_domain_not_allowed"),
        (json!({"email": "ada@example"}), "email_domain_not_allowed"),
        (json!({"email": "a@x@corp.example"}), "email_domain_not_allowed"),
        (json!({"email": "absent"}), "email_missing_but_required"),
        (json!({"email_verified": false}), "email_unverified"),
        (json!({"email_verified": "absent"}), "email_unverified"),
    ] {
        lab.idp.script(|script| script.claims = claims);
        lab.refused(category).await;
    }
    lab.idp.reset();
    assert!(lab.sign_in().await.signed_in());
}

#[tokio::test]
async fn tf_33_members_that_come_twice_are_refused() {
    let lab = Lab::new().await;
    lab.idp.script(|script| {
        script.token = Some(Arc::new(|claims| {
            raw_token("{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"k1\"}", &claims.to_string(), "c2ln")
        }));
    });
    lab.refused("alg_rejected").await;
    // A payload with a member twice, rightly signed: josekit signs octets, whatever they are.
    lab.idp.script(|script| {
        script.token = Some(Arc::new(|claims| {
            let text = claims.to_string().replacen('{', "{\"sub\":\"somebody-else\",", 1);
            let signer = josekit::jws::ES256.signer_from_jwk(&KEYS.p256).expect("a signer");
            let mut header = josekit::jws::JwsHeader::new();
            header.set_key_id("k1");
            josekit::jws::serialize_compact(text.as_bytes(), &header, &signer).expect("signs")
        }));
    });
    lab.refused("signature_invalid").await;
}

#[tokio::test]
async fn answers_that_lack_a_part_and_errors_of_the_provider_are_told_apart() {
    let lab = Lab::new().await;
    let started = lab.start().await;
    for query in [vec![], vec![("code", CODE.to_owned())], vec![("state", started.state.clone())]] {
        let outcome = lab.here.back(&Back { query, ..started.back() }).await;
        assert_eq!(outcome.status, 400, "{outcome:?}");
        assert!(outcome.body.contains("missing code or state query parameter"), "{outcome:?}");
    }
    let twice = vec![("code", CODE.to_owned()), ("code", CODE.to_owned()), ("state", started.state.clone())];
    assert_eq!(lab.here.back(&Back { query: twice, ..started.back() }).await.status, 400);
    let outcome = lab.here.back(&Back { cookie: None, ..started.back() }).await;
    assert_eq!(outcome.status, 400);
    assert!(outcome.body.contains("missing pre-login cookie"), "{outcome:?}");
    assert_eq!(lab.failures().await, ["missing_pre_login_cookie"]);
    let query = vec![
        ("error", "access_denied".to_owned()),
        ("error_description", "<script>".to_owned()),
        ("state", started.state.clone()),
    ];
    let outcome = lab.here.back(&Back { query, ..started.back() }).await;
    assert_eq!(outcome.reason(), "idp_error");
    assert!(outcome.cookies[PENDING].contains("Max-Age=0"));
    assert!(lab.idp.sent().is_empty());
}

#[tokio::test]
async fn deep_links_lead_back_and_never_away() {
    let lab = Lab::new().await;
    for bad in ["//evil.example", "https://evil.example", "/%5Cevil.example", "/x%0d%0aSet-Cookie:a=b", "certificates"]
    {
        let outcome = lab.here.get(&format!("/auth/oidc/login?provider=op-1&return_to={bad}")).await;
        assert_eq!(outcome.status, 400, "{bad}: {outcome:?}");
    }
    let outcome = lab.here.get("/auth/oidc/login?provider=op-1&return_to=/certificates%3Fpage%3D2").await;
    let url = url::Url::parse(&outcome.location).expect("a URL");
    let asked: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    lab.idp.script(|script| {
        script.nonce.clone_from(&asked["nonce"]);
        script.challenge.clone_from(&asked["code_challenge"]);
    });
    let back = Back {
        cookie: outcome.cookie(PENDING).map(ToOwned::to_owned),
        user_agent: Some(BROWSER),
        address: Some(ADDRESS),
        query: vec![("code", CODE.to_owned()), ("state", asked["state"].clone())],
    };
    assert_eq!(lab.here.back(&back).await.location, "/certificates?page=2");
}

#[tokio::test]
async fn strict_cookies_need_a_page_of_our_own_in_between() {
    let lab = Lab::with(settings(), SameSite::Strict).await;
    let outcome = lab.sign_in().await;
    assert_eq!(outcome.status, 200, "{outcome:?}");
    assert!(outcome.cookies[SESSION].contains("SameSite=Strict"));
    assert!(outcome.body.contains("http-equiv=\"refresh\" content=\"0;url=/\""), "{outcome:?}");
}

#[tokio::test]
async fn providers_are_listed_for_the_sign_in_page_and_unknown_or_disabled_ones_are_refused() {
    let lab = Lab::new().await;
    let info = lab.here.get("/api/v1/auth/info").await;
    let told: Value = serde_json::from_str(&info.body).expect("JSON");
    let expected = json!([{"id": "op-1", "display_name": "op-1", "login_url": "/auth/oidc/login?provider=op-1"}]);
    assert_eq!(told["oidc_providers"], expected);
    assert_eq!(lab.here.get("/auth/oidc/login").await.status, 400);
    assert_eq!(lab.here.get("/auth/oidc/login?provider=op-none").await.status, 404);
    lab.execute("UPDATE iam.oidc_providers SET enabled = false").await;
    let info = lab.here.get("/api/v1/auth/info").await;
    assert!(info.body.contains("\"oidc_providers\":[]"), "{info:?}");
    assert_eq!(lab.here.get("/auth/oidc/login?provider=op-1").await.status, 409);
    assert_eq!(lab.here.call(Method::POST, "/auth/oidc/login", "x", None).await.status, 405);
}

#[tokio::test]
async fn sign_ins_of_one_address_are_limited_and_keep_nothing() {
    let lab = Lab::new().await;
    for _ in 0..60 {
        assert_eq!(lab.here.get("/auth/oidc/login?provider=op-1").await.status, 302);
    }
    let limited = lab.here.get("/auth/oidc/login?provider=op-1").await;
    assert_eq!(limited.status, 429);
    assert!(limited.headers.contains_key("retry-after"));
    assert_eq!(lab.count("SELECT count(*) FROM iam.used_sign_ins").await, 0, "W17: nothing is kept of what was begun");
    assert_eq!(lab.idp.hits("/keys"), 1, "W22: nor is the provider asked for each");
}

#[tokio::test]
async fn no_secret_of_a_sign_in_is_on_record() {
    let lab = Lab::new().await;
    let started = lab.start().await;
    let outcome = lab.here.back(&started.back()).await;
    let session = outcome.cookie(SESSION).expect("a session").to_owned();
    // The provider echoes what was sent to it, code and verifier among it.
    lab.idp.script(|script| script.challenge = "other".to_owned());
    let failed = lab.start().await;
    lab.idp.script(|script| script.challenge = "other".to_owned());
    assert_eq!(lab.here.back(&failed.back()).await.reason(), "pkce_invalid");
    let trail = lab.texts("SELECT row_to_json(e)::text FROM audit.events e").await.join("\n");
    let verifiers = lab.idp.sent().join("&");
    let verifiers: Vec<String> = url::form_urlencoded::parse(verifiers.as_bytes())
        .filter(|(name, _)| name == "code_verifier")
        .map(|(_, value)| value.into_owned())
        .collect();
    assert_eq!(verifiers.len(), 2);
    for secret in [CODE, ACCESS_TOKEN, &started.state, &started.nonce, &started.cookie, &session, &failed.state]
        .into_iter()
        .chain(verifiers.iter().map(String::as_str))
    {
        assert!(!trail.contains(secret), "TL-02, TL-03, TL-05: {secret}");
    }
}
