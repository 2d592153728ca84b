//! Logout that the provider asks for: which tokens are acted on, whose sessions end, and that no logout is lost.

use crate::hostile::{CLIENT, KEYS, KeySet, maced, raw_token, signed};
use crate::sign_in::{ADDRESS, BROWSER, Lab, Outcome, SESSION, browser};
use actix_web::test::TestRequest;
use serde_json::{Value, json};

/// Sessions that are still good, as the provider names them.
async fn live(lab: &Lab) -> Vec<String> {
    lab.texts("SELECT idp_sid FROM iam.sessions WHERE revoked_at IS NULL ORDER BY idp_sid").await
}

async fn outcomes(lab: &Lab) -> Vec<String> {
    lab.texts(
        "SELECT details->>'outcome' FROM audit.events WHERE action = 'auth.oidc_back_channel_logout' ORDER BY insert_id",
    )
    .await
}

async fn reasons(lab: &Lab) -> Vec<String> {
    lab.texts(
        "SELECT details->>'failure_reason' FROM audit.events \
         WHERE action = 'auth.oidc_back_channel_logout_failed' ORDER BY insert_id",
    )
    .await
}

/// Signs somebody in, with a session of the provider of this name.
async fn sign_in(lab: &Lab, subject: &str, sid: &str) -> Outcome {
    lab.idp.script(|script| script.claims = json!({"sub": subject, "sid": sid}));
    let outcome = lab.sign_in().await;
    assert!(outcome.signed_in(), "{outcome:?}");
    outcome
}

async fn refused(lab: &Lab, token: &str, reason: &str) {
    let outcome = lab.here.log_out(token).await;
    assert_eq!(outcome.status, 400, "{reason}: {outcome:?}");
    assert!(outcome.body.contains("logout_token validation failed"), "{outcome:?}");
    assert_eq!(reasons(lab).await.last().map(String::as_str), Some(reason));
    assert_eq!(live(lab).await, ["a"], "{reason}: nobody is logged out");
}

#[tokio::test]
async fn bl_01_tokens_that_the_provider_did_not_sign_are_refused() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    let claims = lab.idp.logout_claims("j", &json!({"sub": "ada"}));
    for token in [
        signed("ES256", &KEYS.stranger, &json!({"kid": "k1"}), &claims),
        signed("ES256", &KEYS.stranger, &json!({"kid": "unknown"}), &claims),
        maced(b"hostile-client-secret-hostile-client", &claims),
        raw_token("{\"alg\":\"none\"}", &claims.to_string(), ""),
    ] {
        let outcome = lab.here.log_out(&token).await;
        assert_eq!(outcome.status, 400, "{outcome:?}");
    }
    assert_eq!(reasons(&lab).await, ["signature_invalid"], "told once a minute");
    assert_eq!(live(&lab).await, ["a"]);
}

#[tokio::test]
async fn bl_02_the_provider_is_chosen_by_issuer_and_audience() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    refused(&lab, &lab.idp.logout_token("j", &json!({"sub": "ada", "iss": "https://other.example"})), "issuer_unknown")
        .await;
    refused(&lab, &lab.idp.logout_token("j", &json!({"sub": "ada", "aud": "other"})), "audience_mismatch").await;
    lab.provider("op-2", &json!({"client_id": "second"})).await;
    let token = lab.idp.logout_token("j", &json!({"sub": "ada", "aud": "second"}));
    assert_eq!(lab.log_out(&token).await, 200);
    assert_eq!((outcomes(&lab).await, live(&lab).await), (vec!["user_unknown".to_owned()], vec!["a".to_owned()]));
    let token = lab.idp.logout_token("j-2", &json!({"sub": "ada", "aud": CLIENT}));
    assert_eq!(lab.log_out(&token).await, 200);
    assert!(live(&lab).await.is_empty());
}

#[tokio::test]
async fn bl_03_bl_04_bl_05_tokens_that_lack_a_part_or_have_one_too_many_are_refused() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    let now = lab.db.ambient.now().unix_timestamp();
    for (changes, reason) in [
        (json!({"iat": "absent"}), "iat_window"),
        (json!({"iat": now - 61}), "iat_window"),
        (json!({"jti": "absent"}), "jti_missing"),
        (json!({"events": "absent"}), "events"),
        (json!({"nonce": "n"}), "nonce_present"),
        (json!({"sub": "absent"}), "sub_and_sid_missing"),
    ] {
        let mut all = json!({"sub": "ada"});
        all.as_object_mut().expect("members").extend(changes.as_object().expect("members").clone());
        if reasons(&lab).await.iter().any(|told| told == reason) {
            assert_eq!(lab.log_out(&lab.idp.logout_token("j", &all)).await, 400, "{changes}");
            continue;
        }
        refused(&lab, &lab.idp.logout_token("j", &all), reason).await;
    }
    for changes in [
        json!({"sub": "ada", "iat": now + 61}),
        json!({"sub": "ada", "events": {}}),
        json!({"sub": "ada", "events": {"http://schemas.openid.net/event/backchannel-logout": true}}),
        json!({"sub": "ada", "nonce": ""}),
        json!({"sub": "ada", "nonce": null}),
    ] {
        assert_eq!(lab.log_out(&lab.idp.logout_token("j", &changes)).await, 400, "{changes}");
    }
    assert_eq!(live(&lab).await, ["a"]);
    assert_eq!(lab.count("SELECT count(*) FROM iam.oidc_bcl_consumed_jtis").await, 0);
}

#[tokio::test]
async fn bl_06_an_id_token_is_no_logout_token_and_no_logout_token_signs_in() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    let id_token = signed("ES256", &KEYS.p256, &json!({"kid": "k1", "typ": "JWT"}), &lab.idp.claims());
    refused(&lab, &id_token, "jti_missing").await;
    let mut claims = lab.idp.claims();
    claims["jti"] = json!("j");
    assert_eq!(lab.log_out(&signed("ES256", &KEYS.p256, &json!({"kid": "k1"}), &claims)).await, 400);
    let with_typ = signed("ES256", &KEYS.p256, &json!({"kid": "k1", "typ": "at+jwt"}), &claims);
    refused(&lab, &with_typ, "typ").await;
}

#[tokio::test]
async fn bl_07_a_token_is_acted_on_once() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    let token = lab.idp.logout_token("j", &json!({"sub": "ada"}));
    let outcome = lab.here.log_out(&token).await;
    assert_eq!((outcome.status, outcome.headers["cache-control"].as_str()), (200, "no-store"));
    sign_in(&lab, "ada", "b").await;
    assert_eq!(lab.log_out(&token).await, 200);
    assert_eq!(outcomes(&lab).await, ["revoked", "jti_replayed"]);
    assert_eq!(live(&lab).await, ["b"], "a replay ends nothing");
    let other = crate::hostile::Hostile::start(&lab.db.clock);
    lab.provider("op-2", &json!({"issuer_url": other.issuer, "ca_bundle_pem": other.ca})).await;
    let same_jti = other.logout_token("j", &json!({"sub": "ada"}));
    assert_eq!(lab.log_out(&same_jti).await, 200);
    assert_eq!(
        outcomes(&lab).await.last().map(String::as_str),
        Some("user_unknown"),
        "another issuer's jti is another"
    );
}

#[tokio::test]
async fn bl_08_a_person_is_logged_out_everywhere_and_a_stranger_nowhere() {
    let lab = Lab::new().await;
    let first = sign_in(&lab, "ada", "a").await;
    sign_in(&lab, "ada", "b").await;
    sign_in(&lab, "bob", "c").await;
    assert_eq!(lab.log_out(&lab.idp.logout_token("j", &json!({"sub": "ada"}))).await, 200);
    assert_eq!(live(&lab).await, ["c"]);
    let refused = lab.here.as_signed_in("/api/v1/auth/me", first.cookie(SESSION).expect("a session")).await;
    assert_eq!(refused.status, 401);
    assert!(refused.headers["www-authenticate"].contains("back_channel_revoked"), "{refused:?}");
    assert_eq!(lab.log_out(&lab.idp.logout_token("j-2", &json!({"sub": "eve"}))).await, 200);
    assert_eq!(outcomes(&lab).await, ["revoked", "user_unknown"]);
}

#[tokio::test]
async fn bl_09_exactly_the_matching_sessions_end() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    sign_in(&lab, "ada", "b").await;
    sign_in(&lab, "bob", "c").await;
    assert_eq!(lab.log_out(&lab.idp.logout_token("j-1", &json!({"sid": "a"}))).await, 200);
    assert_eq!(live(&lab).await, ["b", "c"], "sid alone");
    assert_eq!(lab.log_out(&lab.idp.logout_token("j-2", &json!({"sid": "c", "sub": "ada"}))).await, 200);
    assert_eq!(live(&lab).await, ["b", "c"], "the session of another person");
    assert_eq!(lab.log_out(&lab.idp.logout_token("j-3", &json!({"sid": "a", "sub": "ada"}))).await, 200);
    assert_eq!(live(&lab).await, ["b", "c"], "one that is over already ends no other");
    assert_eq!(lab.log_out(&lab.idp.logout_token("j-4", &json!({"sid": "b", "sub": "ada"}))).await, 200);
    assert_eq!(live(&lab).await, ["c"], "both");
    sign_in(&lab, "ada", "d").await;
    assert_eq!(lab.log_out(&lab.idp.logout_token("j-5", &json!({"sid": "never seen", "sub": "ada"}))).await, 200);
    assert_eq!(live(&lab).await, ["c"], "a sid that nobody knows falls back to the person");
    assert_eq!(lab.log_out(&lab.idp.logout_token("j-6", &json!({"sid": "never seen"}))).await, 200);
    assert_eq!(live(&lab).await, ["c"]);
}

#[tokio::test]
async fn bl_10_bl_11_a_logout_that_failed_is_undone_and_the_next_delivery_acts() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    let token = lab.idp.logout_token("j", &json!({"sub": "ada"}));
    lab.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$; \
         CREATE TRIGGER fail BEFORE UPDATE ON iam.sessions FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    .await;
    let outcome = lab.here.log_out(&token).await;
    assert_eq!(outcome.status, 503, "{outcome:?}");
    assert!(outcome.headers.contains_key("retry-after"));
    assert_eq!(lab.count("SELECT count(*) FROM iam.oidc_bcl_consumed_jtis").await, 0, "the token is not used up");
    lab.execute("DROP TRIGGER fail ON iam.sessions").await;
    assert_eq!(lab.log_out(&token).await, 200);
    assert!(live(&lab).await.is_empty());
    assert_eq!(outcomes(&lab).await, ["revoked"]);
}

#[tokio::test]
async fn bl_12_of_two_deliveries_at_once_one_acts() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    let other = lab.replica().await;
    let token = lab.idp.logout_token("j", &json!({"sub": "ada"}));
    let (one, two) = tokio::join!(lab.here.log_out(&token), other.log_out(&token));
    assert_eq!((one.status, two.status), (200, 200));
    let mut told = outcomes(&lab).await;
    told.sort_unstable();
    assert_eq!(told, ["jti_replayed", "revoked"]);
}

#[tokio::test]
async fn bl_13_forged_tokens_cause_no_fetch_each_and_are_limited() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    let before = (lab.idp.hits("/keys"), lab.idp.hits("/.well-known/openid-configuration"));
    let mut statuses = Vec::new();
    for n in 0..130 {
        let claims = lab.idp.logout_claims(&format!("j-{n}"), &json!({"sub": "ada"}));
        let token = signed("ES256", &KEYS.stranger, &json!({"kid": format!("k-{n}")}), &claims);
        statuses.push(lab.log_out(&token).await);
    }
    assert_eq!(statuses[..120], [400; 120]);
    assert_eq!(statuses[120..], [429; 10]);
    let after = (lab.idp.hits("/keys"), lab.idp.hits("/.well-known/openid-configuration"));
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 0), "one look for an unknown key, whoever asks");
}

#[tokio::test]
async fn bl_14_without_a_logout_the_session_ends_by_itself() {
    let lab = Lab::new().await;
    let session = sign_in(&lab, "ada", "a").await.cookie(SESSION).expect("a session").to_owned();
    lab.idp.script(|script| script.keys = KeySet::Text(503, String::new()));
    assert_eq!(lab.here.as_signed_in("/api/v1/auth/me", &session).await.status, 200);
    lab.pass(3601);
    let idle = lab.here.as_signed_in("/api/v1/auth/me", &session).await;
    assert_eq!(idle.status, 401);
    assert!(idle.headers["www-authenticate"].contains("idle_timeout"), "{idle:?}");
}

#[tokio::test]
async fn bl_15_other_methods_and_bodies_are_refused() {
    let lab = Lab::new().await;
    let path = "/auth/oidc/back-channel-logout";
    assert_eq!(lab.here.get(path).await.status, 405);
    let post = || browser(TestRequest::post().uri(path), None, Some(ADDRESS));
    assert_eq!(lab.here.send(post().set_json(json!({"logout_token": "x"}))).await.status, 400);
    assert_eq!(lab.here.send(post().set_form([("other", "x")])).await.status, 400);
    assert_eq!(lab.here.send(post()).await.status, 400);
    let twice = lab.here.send(post().set_form([("logout_token", "x"), ("logout_token", "y")])).await;
    assert_eq!(twice.status, 400);
    let large = "x".repeat(2 * 1024 * 1024);
    assert_eq!(lab.here.send(post().set_form([("logout_token", large)])).await.status, 413);
    let told: Value = serde_json::from_str(&twice.body).expect("JSON");
    assert_eq!(told["message"], "logout_token validation failed");
}

#[tokio::test]
async fn a_browser_that_leaves_is_sent_to_the_providers_own_end_where_that_is_set_up() {
    let lab = Lab::new().await;
    let leave = async |path: &str, session: &str| {
        let request = browser(TestRequest::post().uri(path), Some(BROWSER), Some(ADDRESS));
        lab.here.send(request.insert_header(("Cookie", format!("{SESSION}={session}")))).await
    };
    let session = sign_in(&lab, "ada", "a").await.cookie(SESSION).expect("a session").to_owned();
    assert_eq!(leave("/auth/logout", &session).await.status, 204, "not set up");
    lab.execute("UPDATE iam.oidc_providers SET rp_initiated_logout = true").await;
    let session = sign_in(&lab, "ada", "b").await.cookie(SESSION).expect("a session").to_owned();
    let left = leave("/auth/logout", &session).await;
    assert_eq!(left.status, 200, "{left:?}");
    assert!(left.cookies[SESSION].contains("Max-Age=0"), "{left:?}");
    let told: Value = serde_json::from_str(&left.body).expect("JSON");
    let url = url::Url::parse(told["end_session_url"].as_str().expect("a URL")).expect("a URL");
    let asked: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(url.path(), "/end");
    assert_eq!(asked["post_logout_redirect_uri"], "https://pki.corp.example/login");
    assert_eq!(asked["client_id"], CLIENT);
    assert_eq!(asked["id_token_hint"].split('.').count(), 3, "the ID token of this very session");
    assert!(live(&lab).await.is_empty());
    let session = sign_in(&lab, "ada", "c").await.cookie(SESSION).expect("a session").to_owned();
    lab.idp.script(|script| script.keys = KeySet::Text(503, String::new()));
    lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
    assert_eq!(leave("/auth/logout", &session).await.status, 204, "a provider that is down keeps nobody in");
    assert!(live(&lab).await.is_empty());
}

#[tokio::test]
async fn a_provider_that_can_not_be_asked_makes_the_sender_try_again() {
    let lab = Lab::new().await;
    sign_in(&lab, "ada", "a").await;
    lab.idp.script(|script| script.keys = KeySet::Text(503, String::new()));
    lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
    let token = lab.idp.logout_token("j", &json!({"sub": "ada"}));
    assert_eq!(lab.log_out(&token).await, 503);
    lab.idp.reset();
    lab.pass(31);
    let token = lab.idp.logout_token("j", &json!({"sub": "ada"}));
    assert_eq!(lab.log_out(&token).await, 200);
    assert!(live(&lab).await.is_empty());
}
