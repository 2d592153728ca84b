//! Guarded profiles and what stands under them: changes that a second person must grant, and ways round that are shut.

use crate::approvals::{SETTINGS, Scene, code, refusal, version};
use crate::fleet::told;
use certctl_approval::{ApprovalError, ApprovalRequest, ApprovalSettings, ApprovalState, ProfileEdit, edit_profile};
use certctl_inventory::{Patch, UpdateCertificate, sources, update_certificate};
use certctl_issuance::{IssueFromCsr, issue_from_csr};
use certctl_jobs::JobStatus;
use certctl_kernel::DomainError;
use certctl_profile::{ProfileInput, UpdateProfile, delete_profile};
use certctl_renewal::renew;

#[tokio::test]
async fn what_a_guarded_certificate_is_issued_for_stays() {
    let scene = Scene::set().await;
    let id = scene.certificate.id.clone();
    let change = || UpdateCertificate { id: id.clone(), ..UpdateCertificate::default() };
    let changes = [
        UpdateCertificate { certificate_profile_id: Patch::Clear, ..change() },
        UpdateCertificate { sans: Patch::Set(vec!["more.example.com".into()]), ..change() },
        UpdateCertificate { common_name: Some("other.example.com".into()), ..change() },
        UpdateCertificate { owner_id: Some("o-2".into()), ..change() },
        UpdateCertificate { team_id: Some("t-2".into()), ..change() },
        UpdateCertificate { issuer_id: Some("iss-2".into()), ..change() },
    ];
    for command in changes {
        let mut unit = scene.db.begin().await;
        let shown = format!("{command:?}");
        let refused = update_certificate(unit.stores(), &scene.db.ambient, &scene.ada, command).await;
        assert_eq!(refusal(refused), "approval_required", "{shown}");
    }
    let mut unit = scene.db.begin().await;
    let command = UpdateCertificate { name: Some("shop".into()), ..change() };
    update_certificate(unit.stores(), &scene.db.ambient, &scene.ada, command).await.expect("only a label");
}

/// Asks for a change of the profile that demands approval.
async fn edit(scene: &Scene, input: ProfileInput) -> Result<ProfileEdit, ApprovalError> {
    let mut unit = scene.db.begin().await;
    let command = UpdateProfile { id: "prof-strict".to_owned(), input, ..UpdateProfile::default() };
    let edited = edit_profile(unit.stores(), &scene.db.ambient, &SETTINGS, &scene.ada, command).await?;
    unit.save().await?;
    Ok(edited)
}

fn loosened() -> ProfileInput {
    ProfileInput { requires_approval: Some(false), max_ttl_seconds: Patch::Set(86_400), ..ProfileInput::default() }
}

fn pending(edited: Result<ProfileEdit, ApprovalError>) -> ApprovalRequest {
    match edited {
        Ok(ProfileEdit::Pending(request)) => *request,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guarded_profile_changes_only_by_a_second_person_and_from_where_it_stood() {
    let scene = Scene::set().await;
    let stored = async || scene.db.read().await.profile("prof-strict").await.expect("read").expect("there");
    let before = stored().await;
    let request = pending(edit(&scene, loosened()).await);
    assert_eq!(stored().await, before, "nothing is changed yet");
    let diff = request.payload_diff().expect("a change");
    assert_eq!(diff.keys().collect::<Vec<_>>(), ["max_ttl_seconds", "requires_approval"]);
    assert_eq!(code(edit(&scene, loosened()).await), "approval_pending", "one at a time");
    assert_eq!(code(scene.approve(&scene.ada, &request.id).await), "two_person_integrity");
    let mut unit = scene.db.begin().await;
    let removed = delete_profile(unit.stores(), &scene.ada, "prof-strict", None, true).await;
    assert_eq!(refusal(removed), "approval_required");
    drop(unit);

    scene.reject(&scene.bob, &request.id).await.expect("refused");
    assert_eq!(stored().await, before, "a refusal leaves it as it is");
    let request = pending(edit(&scene, loosened()).await);
    scene.approve(&scene.bob, &request.id).await.expect("another person");
    let after = stored().await;
    assert_eq!((after.requires_approval, after.max_ttl_seconds), (false, 86_400));
    assert_eq!(after.row_version, before.row_version + 1);
    assert_eq!(told(&scene.db, &request.id).await, ["approval_profile_edit_requested", "approval_approved"]);
    let trail = told(&scene.db, "prof-strict").await;
    assert_eq!(trail, ["create_profile", "profile.edit_request", "profile.edit_request", "profile.edit_applied"]);
    let applied = "SELECT actor_id FROM audit.events WHERE action = 'profile.edit_applied'";
    let by: String = scene.db.session().await.query_one(applied, &[]).await.expect("the event").get(0);
    assert_eq!(by, "approval-system");

    // The profile is open now; to demand approval again is a change that needs one, and it must start from what stands.
    let tightened = ProfileInput { requires_approval: Some(true), ..ProfileInput::default() };
    let request = pending(edit(&scene, tightened).await);
    let direct = ProfileInput { max_ttl_seconds: Patch::Set(3600), ..ProfileInput::default() };
    assert!(matches!(edit(&scene, direct).await, Ok(ProfileEdit::Applied(_))));
    assert_eq!(code(scene.approve(&scene.bob, &request.id).await), "stale");
    assert_eq!(scene.request(&request.id).await.state, ApprovalState::Pending, "it can still be rejected");
    scene.reject(&scene.bob, &request.id).await.expect("rejected");
    assert!(!stored().await.requires_approval);
    let mut unit = scene.db.begin().await;
    let sql = "UPDATE inventory.certificates SET certificate_profile_id = NULL";
    scene.db.session().await.batch_execute(sql).await.expect("nothing uses it");
    let removed = delete_profile(unit.stores(), &scene.ada, "prof-strict", None, true).await;
    assert_eq!(refusal(removed), "dependency_blocked", "requests are kept with their profile");
}

#[tokio::test]
async fn a_change_that_could_never_be_made_is_refused_when_it_is_asked_for() {
    let scene = Scene::set().await;
    let unknown = ProfileInput {
        default_owner_id: Patch::Set("o-nobody".into()),
        default_issuer_id: Patch::Set("iss-none".into()),
        ..ProfileInput::default()
    };
    match edit(&scene, unknown).await {
        Err(ApprovalError::Domain(DomainError::Validation(errors))) => {
            let named: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.code.as_str())).collect();
            let unknown = "unknown_reference";
            assert_eq!(named, [("default_owner_id", unknown), ("default_issuer_id", unknown)]);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_bypass_grants_in_its_own_name() {
    let scene = Scene::set().await;
    let bypass = ApprovalSettings { bypass: true, ..SETTINGS };
    let mut unit = scene.db.begin().await;
    let ordered = renew(unit.stores(), &scene.db.ambient, &bypass, &scene.ada, &scene.certificate.id, false)
        .await
        .expect("ordered");
    unit.save().await.expect("saved");
    let request = ordered.approval.expect("demanded");
    assert_eq!(scene.job_status(&ordered.job.id).await, JobStatus::AwaitingCSR);
    assert_eq!(told(&scene.db, &request.id).await, ["approval_requested", "approval_bypassed"]);
    let decider = "SELECT decided_by, decided_by_type FROM approval.requests";
    let row = scene.db.session().await.query_one(decider, &[]).await.expect("the request");
    assert_eq!((row.get(0), row.get(1)), ("system-bypass", "System"));
    version(scene.send(&scene.csr(), Some(&ordered.job.id)).await);
    let mut unit = scene.db.begin().await;
    let command = IssueFromCsr {
        certificate_id: scene.certificate.id.clone(),
        csr_pem: scene.csr(),
        job_id: None,
        source: sources::API.to_owned(),
    };
    let direct =
        issue_from_csr(unit.stores(), scene.issuers.as_ref(), &scene.db.ambient, &bypass, &scene.ada, command).await;
    version(direct);
    let command = UpdateProfile { id: "prof-strict".to_owned(), input: loosened(), ..UpdateProfile::default() };
    let edited = edit_profile(unit.stores(), &scene.db.ambient, &bypass, &scene.ada, command).await;
    assert!(matches!(edited, Ok(ProfileEdit::Applied(ref profile)) if !profile.requires_approval), "{edited:?}");
}
