//! Teams and owners.

use crate::support::{TestDatabase, alice};
use certctl_inventory::{CreateOwner, CreateTeam, OrgFilter, Owner, Patch, Team, UpdateTeam};
use certctl_kernel::{DomainError, ListQuery, StoreError};
use std::collections::BTreeSet;
use time::Duration;

/// A stored team.
pub async fn team(db: &TestDatabase, name: &str) -> Team {
    let mut unit = db.begin().await;
    let command = CreateTeam { name: name.to_owned(), ..CreateTeam::default() };
    let team = certctl_inventory::create_team(unit.stores(), &db.ambient, &alice(), command).await.expect("a team");
    unit.save().await.expect("saved");
    team
}

/// A stored owner.
pub async fn owner(db: &TestDatabase, team: &Team) -> Owner {
    let mut unit = db.begin().await;
    let command = CreateOwner {
        name: "Ada".to_owned(),
        email: "ada@example.com".to_owned(),
        team_id: team.id.clone(),
        ..CreateOwner::default()
    };
    let owner = certctl_inventory::create_owner(unit.stores(), &db.ambient, &alice(), command).await.expect("an owner");
    unit.save().await.expect("saved");
    owner
}

#[tokio::test]
async fn a_team_reads_back_as_it_was_stored_and_its_events_tell_of_each_change() {
    let db = TestDatabase::new().await;
    let made = team(&db, "Platform").await;
    db.clock.set(crate::support::START + Duration::hours(1));
    let mut unit = db.begin().await;
    let change = UpdateTeam {
        id: made.id.clone(),
        expected_version: Some(1),
        name: None,
        description: Patch::Set("runs things".to_owned()),
    };
    let changed = certctl_inventory::update_team(unit.stores(), &db.ambient, &alice(), change).await.expect("a change");
    unit.save().await.expect("saved");
    let stored = db.read().await.team(&made.id).await.expect("read").expect("the team");
    assert_eq!(stored, changed);
    assert_eq!((stored.row_version, stored.description.as_str()), (2, "runs things"));
    let events = db
        .session()
        .await
        .query("SELECT action, details FROM audit.events WHERE resource_id = $1 ORDER BY insert_id", &[&made.id])
        .await
        .expect("events");
    let actions: Vec<String> = events.iter().map(|row| row.get(0)).collect();
    assert_eq!(actions, ["create_team", "update_team"]);
    let details: serde_json::Value = events[1].get(1);
    assert_eq!(details["changes"], serde_json::json!({"description": ["", "runs things"]}));
}

#[tokio::test]
async fn names_clash_without_regard_to_case_and_the_holder_is_named() {
    let db = TestDatabase::new().await;
    let first = team(&db, "Platform").await;
    let second = team(&db, "Web").await;
    let mut unit = db.begin().await;
    let clash = Team { id: "team-x".to_owned(), name: "PLATFORM".to_owned(), ..second.clone() };
    let duplicate = StoreError::Duplicate { field: "name".to_owned(), existing_id: Some(first.id.clone()) };
    assert_eq!(unit.insert_team(&clash).await, Err(duplicate.clone()));
    let renamed = Team { name: "platform".to_owned(), ..second.clone() };
    assert_eq!(unit.update_team(&renamed).await, Err(duplicate));
    let same_id = Team { name: "Other".to_owned(), ..first.clone() };
    let taken = StoreError::Duplicate { field: "id".to_owned(), existing_id: Some(first.id) };
    assert_eq!(unit.insert_team(&same_id).await, Err(taken));
    // The refusals were statements that succeeded, so the transaction goes on.
    assert!(unit.team(&second.id).await.expect("read").is_some());
}

#[tokio::test]
async fn two_replicas_that_take_one_name_at_the_same_time_end_with_one_row() {
    let db = TestDatabase::new().await;
    let now = db.ambient.now();
    let row = |id: &str| Team {
        id: id.to_owned(),
        tenant_id: "t-default".to_owned(),
        name: "Platform".to_owned(),
        description: String::new(),
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    let mut first = db.begin().await;
    first.insert_team(&row("team-a")).await.expect("the first takes it");
    let mut second = db.begin().await;
    // The second waits for the first to decide.
    let (second_result, ()) = tokio::join!(async move { second.insert_team(&row("team-b")).await }, async move {
        first.save_unaudited("a test").await.expect("saved");
    });
    let duplicate = StoreError::Duplicate { field: "name".to_owned(), existing_id: Some("team-a".to_owned()) };
    assert_eq!(second_result, Err(duplicate));
}

#[tokio::test]
async fn an_owner_needs_a_team_that_exists_and_holds_it_in_place() {
    let db = TestDatabase::new().await;
    let team = team(&db, "Platform").await;
    let owner = owner(&db, &team).await;
    let mut unit = db.begin().await;
    let orphan = Owner { id: "owner-x".to_owned(), team_id: "team-none".to_owned(), ..owner.clone() };
    let missing = StoreError::UnknownReference { field: "team_id".to_owned() };
    assert_eq!(unit.insert_owner(&orphan).await, Err(missing));
    let mut unit = db.begin().await;
    assert_eq!(unit.delete_team(&team.id).await, Err(StoreError::InUse));
    let mut unit = db.begin().await;
    let refused = certctl_inventory::delete_team(unit.stores(), &alice(), &team.id, None).await;
    match refused {
        Err(DomainError::Conflict { code: "dependency_blocked", message, .. }) => {
            assert!(message.contains("1 owners"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    certctl_inventory::delete_owner(unit.stores(), &alice(), &owner.id, None).await.expect("nothing names the owner");
    certctl_inventory::delete_team(unit.stores(), &alice(), &team.id, Some(1)).await.expect("now it is free");
    unit.save().await.expect("saved");
    assert_eq!(db.read().await.team(&team.id).await, Ok(None));
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat_and_a_search_takes_wildcards_literally() {
    let db = TestDatabase::new().await;
    let mut unit = db.begin().await;
    let base = team(&db, "base").await;
    for number in 0..25 {
        // Several share an instant, so that the id has to break ties.
        let at = base.created_at + Duration::seconds(i64::from(number / 4));
        let id = format!("team-n{number:02}");
        let row = Team { id, name: format!("n_{number:02}"), created_at: at, updated_at: at, ..base.clone() };
        unit.insert_team(&row).await.expect("a row");
    }
    unit.save_unaudited("a test").await.expect("saved");
    let filter = OrgFilter { q: Some("n_".to_owned()) };
    let mut list = ListQuery { per_page: 7, ..ListQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = db.read().await.teams_page(&filter, &list).await.expect("a page");
        assert_eq!(page.total, 25, "the cursor does not change the total");
        seen.extend(page.rows.iter().map(|row| row.id.clone()));
        match page.next {
            Some(next) => list.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 25);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 25);
    assert_eq!(seen.first().map(String::as_str), Some("team-n24"), "newest first");
    let beyond = ListQuery { page: 9, per_page: 7, cursor: None };
    let page = db.read().await.teams_page(&filter, &beyond).await.expect("an empty page");
    assert_eq!((page.rows.len(), page.total), (0, 25));
    let none = OrgFilter { q: Some("n%".to_owned()) };
    assert_eq!(db.read().await.teams_page(&none, &ListQuery::default()).await.expect("a page").total, 0);
}
