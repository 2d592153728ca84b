//! Groups, the first administrator, a provider that turned bad, and places that certctl does not speak with.

use crate::hostile::Hostile;
use crate::sign_in::{Lab, SESSION, settings};
use certctl_bootstrap::AdminGroups;
use certctl_oidc::OutboundPolicy;
use certctl_session::SameSite;
use serde_json::{Value, json};

fn admins(groups: &[&str], provider: Option<&str>) -> AdminGroups {
    AdminGroups {
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        provider_id: provider.map(ToOwned::to_owned),
    }
}

async fn with_admin_groups(groups: &[&str], provider: Option<&str>) -> Lab {
    let mut settings = settings();
    settings.admin_groups = admins(groups, provider);
    Lab::with(settings, SameSite::Lax).await
}

fn groups(lab: &Lab, subject: &str, groups: &Value) {
    lab.idp.script(|script| script.claims = json!({"sub": subject, "groups": groups}));
}

#[tokio::test]
async fn gm_01_claims_that_are_no_groups_are_refused() {
    let lab = Lab::new().await;
    for value in [json!("absent"), json!(null), json!(true), json!(7), json!({"a": 1}), json!(["eng", 7]), json!([])] {
        groups(&lab, "subject-1", &value);
        lab.refused("groups_missing").await;
    }
    groups(&lab, "subject-1", &json!("eng"));
    assert!(lab.sign_in().await.signed_in(), "one text is one group");
}

#[tokio::test]
async fn gm_02_gm_13_paths_are_followed_as_they_are_written() {
    let lab = Lab::new().await;
    lab.idp.script(|script| {
        script.claims = json!({
            "groups": "absent", "https://corp.example/groups": ["eng"], "realm_access": {"roles": ["eng"]}, "name": "Ada",
            "resource_access": {"my.client": {"roles": ["eng"]}},
        });
    });
    lab.refused("groups_missing").await;
    for path in ["https://corp.example/groups", "realm_access.roles", "/resource_access/my.client/roles"] {
        lab.execute(&format!("UPDATE iam.oidc_providers SET groups_claim_path = '{path}'")).await;
        assert!(lab.sign_in().await.signed_in(), "{path}");
    }
    lab.execute("UPDATE iam.oidc_providers SET groups_claim_path = 'name.first'").await;
    lab.refused("groups_missing").await;
    lab.execute(
        "UPDATE iam.oidc_providers SET groups_claim_path = 'x', more_groups_claim_paths = '{realm_access.roles}'",
    )
    .await;
    assert!(lab.sign_in().await.signed_in(), "several paths are merged");
}

#[tokio::test]
async fn gm_03_group_names_are_compared_by_the_letter() {
    let lab = Lab::new().await;
    for name in ["Eng", "/eng", "eng ", "\u{435}ng", "engx"] {
        groups(&lab, "subject-1", &json!([name]));
        lab.refused("unmapped_groups").await;
    }
    assert_eq!(lab.count("SELECT count(*) FROM iam.users").await, 0, "W37: a refused sign-in leaves no person");
}

#[tokio::test]
async fn gm_04_userinfo_is_asked_where_that_is_switched_on() {
    let lab = Lab::new().await;
    groups(&lab, "subject-1", &json!([]));
    lab.refused("groups_missing").await;
    assert_eq!(lab.idp.hits("/userinfo"), 0);
    lab.execute("UPDATE iam.oidc_providers SET fetch_userinfo = true").await;
    for (status, answer) in [(200, json!({"sub": "subject-1", "groups": []})), (500, json!({})), (200, json!([]))] {
        lab.idp.script(|script| script.userinfo = (status, answer));
        lab.refused("groups_missing").await;
    }
    lab.idp.script(|script| script.userinfo = (200, json!({"sub": "subject-1", "groups": ["eng"]})));
    assert!(lab.sign_in().await.signed_in());
}

#[tokio::test]
async fn gm_05_overage_has_a_category_and_a_way_out() {
    let lab = Lab::new().await;
    lab.idp.script(|script| {
        script.claims = json!({"groups": "absent", "_claim_names": {"groups": "src1"}, "at_hash": "absent"});
        script.graph = (200, json!({"value": ["eng"]}));
    });
    lab.refused("groups_overage").await;
    assert_eq!(lab.idp.hits("/v1.0/me/getMemberGroups"), 0);
    lab.execute("UPDATE iam.oidc_providers SET groups_overage = 'graph'").await;
    assert!(lab.sign_in().await.signed_in());
    lab.idp.script(|script| script.graph = (403, json!({})));
    lab.refused("groups_overage").await;
}

#[tokio::test]
async fn gm_06_gm_12_roles_follow_the_groups_at_each_sign_in_and_nothing_else() {
    let lab = Lab::new().await;
    lab.map("op-1", "audit", "r-auditor").await;
    lab.map("op-1", "view", "r-viewer").await;
    groups(&lab, "subject-1", &json!(["eng", "audit", "unknown"]));
    let first = lab.sign_in().await;
    assert!(first.signed_in());
    assert_eq!(lab.held().await, ["r-auditor", "r-operator"]);
    let actor = lab.texts("SELECT id FROM iam.users").await.remove(0);
    lab.execute(&format!(
        "INSERT INTO iam.grants (id, actor_type, actor_id, role_id, scope_type, source, granted_by, granted_at) \
         VALUES ('gra-manual', 'User', '{actor}', 'r-agent', 'global', 'manual', 'test', now())"
    ))
    .await;
    groups(&lab, "subject-1", &json!(["view"]));
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-agent", "r-viewer"], "what a person gave by hand stays");
    let session = first.cookie(SESSION).expect("a session");
    let me = lab.here.as_signed_in("/api/v1/auth/me", session).await;
    assert!(!me.body.contains("r-operator"), "the older session lost it at once: {me:?}");
    groups(&lab, "subject-1", &json!(["unknown"]));
    lab.refused("unmapped_groups").await;
    assert_eq!(lab.held().await, ["r-agent", "r-viewer"], "a refused sign-in changes nothing");
    let told = lab
        .texts("SELECT details->>'role_ids' FROM audit.events WHERE action = 'auth.oidc_login_succeeded' ORDER BY insert_id")
        .await;
    assert_eq!(told, ["[\"r-auditor\", \"r-operator\"]", "[\"r-viewer\"]"]);
}

#[tokio::test]
async fn gm_07_groups_without_a_role_are_named_or_hashed() {
    let lab = Lab::new().await;
    groups(&lab, "subject-1", &json!(["renamed"]));
    lab.refused("unmapped_groups").await;
    let query = "SELECT details->>'groups' FROM audit.events WHERE action = 'auth.oidc_login_unmapped_groups'";
    assert_eq!(lab.texts(query).await, ["[\"renamed\"]"]);
    let mut settings = settings();
    settings.name_groups = false;
    let lab = Lab::with(settings, SameSite::Lax).await;
    groups(&lab, "subject-1", &json!(["renamed"]));
    lab.refused("unmapped_groups").await;
    let told = lab.texts(query).await;
    assert!(told[0].contains("sha256:") && !told[0].contains("renamed"), "{told:?}");
}

#[tokio::test]
async fn gm_11_too_many_groups_are_refused() {
    let lab = Lab::new().await;
    let many: Vec<String> = (0..10_000).map(|n| format!("group-{n}")).collect();
    groups(&lab, "subject-1", &json!(many));
    lab.refused("groups_overage").await;
    let vast: Vec<String> = (0..100_000).map(|n| format!("group-{n}")).collect();
    groups(&lab, "subject-1", &json!(vast));
    lab.refused("token_exchange_failed").await;
}

#[tokio::test]
async fn a_provider_without_groups_gives_its_default_role_within_the_hosted_domain() {
    let lab = Lab::new().await;
    lab.provider("op-2", &json!({"hosted_domain": "corp.example", "default_role_id": "r-viewer"})).await;
    lab.idp.script(|script| script.claims = json!({"groups": "absent", "hd": "other.example"}));
    assert_eq!(lab.sign_in_at("op-2").await.reason(), "email_domain_not_allowed");
    lab.idp.script(|script| script.claims = json!({"groups": "absent"}));
    assert_eq!(lab.sign_in_at("op-2").await.reason(), "email_domain_not_allowed");
    lab.idp.script(|script| script.claims = json!({"groups": "absent", "hd": "corp.example"}));
    assert!(lab.sign_in_at("op-2").await.signed_in());
    assert_eq!(lab.held().await, ["r-viewer"]);
}

#[tokio::test]
async fn ic_01_ic_02_a_provider_gives_what_its_mappings_say_at_that_moment() {
    let lab = Lab::new().await;
    groups(&lab, "subject-1", &json!(["eng", "admins", "r-admin"]));
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-operator"]);
    lab.execute("DELETE FROM iam.group_role_mappings").await;
    lab.refused("unmapped_groups").await;
}

#[tokio::test]
async fn ic_03_a_provider_that_is_switched_off_in_the_middle_lets_nobody_in_on_any_replica() {
    let lab = Lab::new().await;
    let other = lab.replica().await;
    let started = lab.start().await;
    lab.execute("UPDATE iam.oidc_providers SET enabled = false").await;
    assert_eq!(other.back(&started.back()).await.reason(), "provider_disabled");
    assert_eq!(other.get("/auth/oidc/login?provider=op-1").await.status, 409);
    assert_eq!(lab.sessions().await, 0);
    assert!(lab.idp.sent().is_empty(), "the code was not even asked about");
}

#[tokio::test]
async fn ic_04_people_of_two_providers_are_two_people() {
    let lab = Lab::new().await;
    let second = Hostile::start(&lab.db.clock);
    lab.provider("op-2", &json!({"issuer_url": second.issuer, "ca_bundle_pem": second.ca})).await;
    lab.map("op-2", "eng", "r-viewer").await;
    assert!(lab.sign_in().await.signed_in());
    let started = lab.start_at(&lab.here, "op-2").await;
    second.script(|script| {
        script.nonce.clone_from(&started.nonce);
        script.challenge.clone_from(&started.challenge);
    });
    assert!(lab.here.back(&started.back()).await.signed_in());
    assert_eq!(lab.count("SELECT count(*) FROM iam.users WHERE email = 'ada@corp.example'").await, 2);
    let roles = lab.texts("SELECT role_id || ' ' || source FROM iam.grants WHERE actor_type = 'User' ORDER BY 1").await;
    assert_eq!(roles, ["r-operator oidc:op-1", "r-viewer oidc:op-2"]);
}

#[tokio::test]
async fn a_person_who_was_shut_out_stays_out_and_two_first_sign_ins_make_one_person() {
    let lab = Lab::new().await;
    let (one, two) = (lab.start().await, lab.start().await);
    lab.idp.script(|script| script.nonce.clone_from(&one.nonce));
    lab.idp.script(|script| script.challenge.clone_from(&one.challenge));
    assert!(lab.here.back(&one.back()).await.signed_in());
    lab.idp.script(|script| {
        script.nonce.clone_from(&two.nonce);
        script.challenge.clone_from(&two.challenge);
    });
    assert!(lab.here.back(&two.back()).await.signed_in());
    assert_eq!(lab.count("SELECT count(*) FROM iam.users").await, 1);
    let seen = lab.texts("SELECT last_login_at::text FROM iam.users").await;
    lab.execute("UPDATE iam.users SET deactivated_at = now()").await;
    lab.pass(60);
    lab.refused("user_deactivated").await;
    assert_eq!(lab.texts("SELECT last_login_at::text FROM iam.users").await, seen);
}

#[tokio::test]
async fn br_01_br_10_br_11_the_first_member_of_the_group_is_the_administrator_and_nobody_after() {
    let lab = with_admin_groups(&["everyone"], None).await;
    for subject in ["ada", "bob", "eve"] {
        groups(&lab, subject, &json!(["everyone", "eng"]));
        assert!(lab.sign_in().await.signed_in(), "{subject}");
    }
    assert_eq!(lab.held().await, ["r-admin", "r-operator", "r-operator", "r-operator"]);
    let told =
        lab.texts("SELECT details->>'trigger' FROM audit.events WHERE action = 'bootstrap.oidc_first_admin'").await;
    assert_eq!(told, ["oidc_group_match"]);
    let by = lab.texts("SELECT granted_by || ' ' || source FROM iam.grants WHERE role_id = 'r-admin'").await;
    assert_eq!(by, ["oidc-bootstrap bootstrap"]);
}

#[tokio::test]
async fn a_first_administrator_needs_no_mapping_and_keeps_the_role_without_a_session() {
    let lab = with_admin_groups(&["pki-admins"], None).await;
    groups(&lab, "ada", &json!(["pki-admins"]));
    let outcome = lab.sign_in().await;
    assert!(outcome.signed_in(), "{outcome:?}");
    let ends = "SELECT count(*) FROM iam.grants WHERE role_id = 'r-admin' AND expires_at IS NULL";
    assert_eq!(lab.count(ends).await, 1);
    groups(&lab, "bob", &json!(["pki-admins"]));
    lab.refused("unmapped_groups").await;
}

#[tokio::test]
async fn br_02_of_two_at_once_on_two_replicas_one_becomes_it() {
    let lab = with_admin_groups(&["admins"], None).await;
    let other = lab.replica().await;
    // The same provider answers both, so that only the subject, which follows the nonce, tells them apart.
    let (one, two) = (lab.start().await, lab.start_at(&other, "op-1").await);
    let second = Hostile::start(&lab.db.clock);
    lab.provider("op-2", &json!({"issuer_url": second.issuer, "ca_bundle_pem": second.ca})).await;
    lab.map("op-2", "eng", "r-operator").await;
    let three = lab.start_at(&other, "op-2").await;
    lab.idp.script(|script| {
        script.nonce.clone_from(&one.nonce);
        script.challenge.clone_from(&one.challenge);
        script.claims = json!({"sub": "ada", "groups": ["admins", "eng"]});
    });
    second.script(|script| {
        script.nonce.clone_from(&three.nonce);
        script.challenge.clone_from(&three.challenge);
        script.claims = json!({"sub": "bob", "groups": ["admins", "eng"]});
    });
    let (here, there) = (one.back(), three.back());
    let (first, last) = tokio::join!(lab.here.back(&here), other.back(&there));
    assert!(first.signed_in() && last.signed_in(), "{first:?} {last:?} {:?}", lab.failures().await);
    assert_eq!(lab.held().await, ["r-admin", "r-operator", "r-operator"]);
    assert_ne!(two.state, one.state);
}

#[tokio::test]
async fn br_03_br_04_another_provider_or_another_group_makes_nobody() {
    let lab = with_admin_groups(&["admins"], Some("op-2")).await;
    groups(&lab, "ada", &json!(["admins", "eng"]));
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-operator"]);
    let lab = with_admin_groups(&[" admins ", "x"], None).await;
    groups(&lab, "ada", &json!(["Admins", "eng"]));
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-operator"]);
    groups(&lab, "ada", &json!(["admins", "eng"]));
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-admin", "r-operator"], "the list is trimmed");
}

#[tokio::test]
async fn br_05_the_demo_principal_is_no_administrator() {
    let lab = with_admin_groups(&["admins"], None).await;
    lab.execute(
        "INSERT INTO iam.principals (kind, id) VALUES ('Anonymous', 'actor-demo-anon') ON CONFLICT DO NOTHING; \
         INSERT INTO iam.grants (id, actor_type, actor_id, role_id, scope_type, source, granted_by, granted_at) \
         VALUES ('gra-demo', 'Anonymous', 'actor-demo-anon', 'r-admin', 'global', 'manual', 'test', now())",
    )
    .await;
    groups(&lab, "ada", &json!(["admins"]));
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-admin"]);
}

#[tokio::test]
async fn br_06_a_failure_refuses_the_sign_in_and_leaves_nothing() {
    let lab = with_admin_groups(&["admins"], None).await;
    groups(&lab, "ada", &json!(["admins", "eng"]));
    lab.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$; \
         CREATE TRIGGER fail BEFORE INSERT ON iam.grants FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    .await;
    lab.refused("unspecified").await;
    assert_eq!(lab.count("SELECT count(*) FROM iam.users").await, 0);
    lab.execute("DROP TRIGGER fail ON iam.grants").await;
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-admin", "r-operator"]);
}

#[tokio::test]
async fn br_07_br_08_one_way_closes_the_other_and_neither_opens_again_by_itself() {
    use crate::edge::TOKEN;
    use actix_web::http::Method;
    let lab = with_admin_groups(&["admins"], None).await;
    let bootstrap = async |name: &str| {
        let body = json!({"token": TOKEN, "actor_name": name});
        lab.here.call(Method::POST, "/api/v1/auth/bootstrap", "", Some(body)).await.status
    };
    groups(&lab, "ada", &json!(["admins", "eng"]));
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(bootstrap("admin").await, 410);
    lab.execute("DELETE FROM iam.grants WHERE role_id = 'r-admin'").await;
    assert_eq!(bootstrap("admin").await, 410, "not for being empty");
    assert!(lab.sign_in().await.signed_in());
    assert_eq!(lab.held().await, ["r-operator"], "nor by the group");
    let mut unit = lab.db.begin().await;
    let context = certctl_kernel::RequestContext::system("host");
    certctl_bootstrap::reopen(unit.stores(), &lab.db.ambient, &context).await.expect("nobody is one");
    unit.save().await.expect("saved");
    assert_eq!(bootstrap("admin").await, 201, "but when the host says so");
    assert_eq!(bootstrap("second").await, 410);
    let mut unit = lab.db.begin().await;
    let refused = certctl_bootstrap::reopen(unit.stores(), &lab.db.ambient, &context).await;
    assert!(refused.is_err(), "and not while there is one");
    unit.discard().await.expect("discarded");
}

#[tokio::test]
async fn ob_02_ob_03_ob_04_reserved_places_are_not_spoken_with_wherever_they_are_named() {
    let lab = Lab::new().await;
    let login = "/auth/oidc/login?provider=op-1";
    for (member, place) in [
        ("token_endpoint", "http://localhost/token"),
        ("token_endpoint", "https://169.254.169.254/token"),
        ("jwks_uri", "https://[fd00:ec2::254]/keys"),
        ("jwks_uri", "https://[::ffff:169.254.169.254]/keys"),
        ("userinfo_endpoint", "https://0.0.0.0/userinfo"),
        ("authorization_endpoint", "http://idp.example/authorize"),
        ("end_session_endpoint", "javascript:alert(1)"),
    ] {
        lab.idp.script(|script| script.discovery = json!({ member: place }));
        lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
        assert_eq!(lab.here.get(login).await.status, 500, "{member} {place}");
        assert_eq!(lab.failures().await.last().map(String::as_str), Some("jwks_unreachable"));
    }
    for place in ["https://169.254.169.254/", "http://localhost/", "https://idp.example/"] {
        lab.idp.script(|script| {
            script.discovery = json!({});
            script.discovery_answer = Some((302, place.to_owned(), String::new()));
        });
        lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
        assert_eq!(lab.here.get(login).await.status, 500, "OB-04: {place}");
    }
    lab.idp.script(|script| script.discovery_answer = Some((302, "/elsewhere".to_owned(), String::new())));
    lab.execute("UPDATE iam.oidc_providers SET row_version = row_version + 1").await;
    assert_eq!(lab.here.get(login).await.status, 302, "within the origin a redirect is followed once");
}

#[tokio::test]
async fn ob_05_this_machine_is_not_spoken_with_unless_a_laboratory_says_so() {
    let mut settings = settings();
    settings.policy = OutboundPolicy::default();
    let lab = Lab::with(settings, SameSite::Lax).await;
    assert_eq!(lab.here.get("/auth/oidc/login?provider=op-1").await.status, 500);
    assert_eq!(lab.idp.hits("/.well-known/openid-configuration"), 0);
}

#[tokio::test]
async fn another_authority_than_the_named_one_is_not_believed() {
    let lab = Lab::new().await;
    lab.provider("op-2", &json!({"ca_bundle_pem": ""})).await;
    assert_eq!(lab.here.get("/auth/oidc/login?provider=op-2").await.status, 500, "the host does not know it");
    assert_eq!(lab.failures().await, ["jwks_unreachable"]);
}
