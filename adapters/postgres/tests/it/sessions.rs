//! Sessions and their keys in the database: races, limits, and what goes by itself.

use crate::support::{START, TestDatabase};
use certctl_kernel::{Actor, ActorType, RequestContext, Secret};
use certctl_ports::fakes::TicketSealer;
use certctl_secrets::SealedColumn;
use certctl_session::{
    Maker, Minted, NewSession, Purpose, Refusal, RevokedReason, SameSite, Session, SessionKeys, SessionSettings, Way,
    authenticate_session, collect, create, ensure_signing_key, renew, rotate_signing_key, rotate_when_due,
};
use certctl_unit_of_work::Database as _;
use futures_util::future::join_all;
use std::sync::Arc;
use time::Duration;

const RETENTION: Duration = Duration::hours(24);
const SETTINGS: SessionSettings = SessionSettings {
    idle: Duration::HOUR,
    absolute: Duration::hours(8),
    bind_ip: false,
    bind_user_agent: false,
    max_per_user: 3,
    same_site: SameSite::Lax,
};

struct Stand {
    db: TestDatabase,
    keys: SessionKeys,
    sealer: Arc<TicketSealer>,
}

impl Stand {
    /// A database with a key and the people `u-1` and `u-2`, whom the provider `op-1` vouched for.
    async fn new() -> Self {
        let db = TestDatabase::new().await;
        db.session()
            .await
            .batch_execute(
                "INSERT INTO iam.oidc_providers (id, name, issuer_url, client_id, client_secret_encrypted, redirect_uri) \
                 VALUES ('op-1', 'one', 'https://idp.test', 'c', '\\x00', 'https://certctl.test/auth/oidc/callback'); \
                 INSERT INTO iam.principals (kind, id) VALUES ('User', 'u-1'), ('User', 'u-2')",
            )
            .await
            .expect("people");
        let stand = Self { db, keys: SessionKeys::new(RETENTION), sealer: Arc::default() };
        let mut unit = stand.db.begin().await;
        let context = RequestContext::system("boot");
        let made = ensure_signing_key(unit.stores(), &stand.db.ambient, stand.sealer.as_ref(), &context).await;
        assert!(made.expect("a key"));
        unit.save().await.expect("saved");
        stand.reload().await;
        stand
    }

    async fn reload(&self) {
        self.keys.load(self.db.read().await.stores(), self.sealer.as_ref()).await.expect("keys");
    }

    fn maker(&self) -> Maker<'_> {
        Maker { keys: &self.keys, sealer: self.sealer.as_ref(), settings: &SETTINGS }
    }

    async fn sign_in(&self, user: &str, sid: &str) -> Minted {
        let mut unit = self.db.begin().await;
        let way = Way::Oidc {
            provider_id: "op-1".to_owned(),
            sid: Some(sid.to_owned()),
            id_token: Some(Secret::new(format!("token of {sid}"))),
        };
        let actor = Actor::new(user, ActorType::User);
        let new = NewSession { actor, way, source_ip: "192.0.2.1", user_agent: "browser" };
        let context = RequestContext::system("test");
        let minted = create(unit.stores(), &self.db.ambient, &self.maker(), &context, new).await.expect("a session");
        unit.save().await.expect("saved");
        minted
    }

    async fn judge(&self, minted: &Minted) -> Result<Session, Refusal> {
        let now = self.db.ambient.now();
        let verified = self.keys.verify(minted.cookie.expose(), Purpose::Session, now).map_err(|_| Refusal::Invalid)?;
        let mut unit = self.db.read().await;
        let found = authenticate_session(unit.stores(), &verified, &SETTINGS, now).await.expect("an answer");
        found.map(|found| found.session)
    }

    async fn one(&self, sql: &str) -> i64 {
        self.db.session().await.query_one(sql, &[]).await.expect("a row").get(0)
    }
}

#[tokio::test]
async fn of_eight_replicas_starting_at_once_one_makes_the_signing_key() {
    let db = Arc::new(TestDatabase::new().await);
    let sealer = Arc::new(TicketSealer::default());
    let starts = (0..8).map(|_| {
        let (db, sealer) = (Arc::clone(&db), Arc::clone(&sealer));
        tokio::spawn(async move {
            let mut unit = db.replica().begin().await.expect("a transaction");
            let context = RequestContext::system("boot");
            let made = ensure_signing_key(unit.stores(), &db.ambient, sealer.as_ref(), &context).await.expect("looked");
            if made {
                unit.save().await.expect("saved");
            } else {
                unit.discard().await.expect("discarded");
            }
            made
        })
    });
    let made = join_all(starts).await.into_iter().filter(|made| *made.as_ref().expect("no panic")).count();
    assert_eq!(made, 1);
    let keys: i64 = db
        .session()
        .await
        .query_one("SELECT count(*) FROM iam.session_signing_keys WHERE retired_at IS NULL", &[])
        .await
        .expect("a row")
        .get(0);
    assert_eq!(keys, 1);
}

#[tokio::test]
async fn a_rotated_key_verifies_until_its_retention_ends_and_a_leaked_one_not_at_all() {
    let stand = Stand::new().await;
    let first = stand.sign_in("u-1", "a").await;
    let context = RequestContext::system("test");
    let rotate = async |compromised| {
        let mut unit = stand.db.begin().await;
        let sealer = stand.sealer.as_ref();
        let done = rotate_signing_key(unit.stores(), &stand.db.ambient, sealer, &context, compromised).await;
        unit.save().await.expect("saved");
        stand.reload().await;
        done.expect("rotated")
    };
    assert_eq!(rotate(false).await.retired_key_id.as_deref(), Some(first.session.signing_key_id.as_str()));
    assert!(stand.judge(&first).await.is_ok());
    let second = stand.sign_in("u-1", "b").await;
    assert_ne!(second.session.signing_key_id, first.session.signing_key_id);
    assert_eq!(rotate(true).await.ended_sessions, 2);
    assert_eq!(stand.judge(&first).await.err(), Some(Refusal::Invalid));
    assert_eq!(stand.judge(&second).await.err(), Some(Refusal::Invalid));

    // By schedule only when it is old enough; then exactly once, however many look.
    let due = async || {
        let mut unit = stand.db.begin().await;
        let sealer = stand.sealer.as_ref();
        let done = rotate_when_due(unit.stores(), &stand.db.ambient, sealer, &context, Duration::days(30)).await;
        unit.save_unaudited("perhaps nothing was due").await.expect("saved");
        done.expect("looked")
    };
    assert!(!due().await);
    stand.db.clock.set(START + Duration::days(31));
    assert!(due().await);
    assert!(!due().await);
}

#[tokio::test]
async fn the_oldest_session_makes_room_and_only_that_persons() {
    let stand = Stand::new().await;
    let other = stand.sign_in("u-2", "other").await;
    let mut minted = Vec::new();
    for n in 0..5_i64 {
        stand.db.clock.set(START + Duration::seconds(n));
        minted.push(stand.sign_in("u-1", &n.to_string()).await);
    }
    for (n, session) in minted.iter().enumerate() {
        let wanted = (n < 2).then_some(Refusal::Revoked(RevokedReason::Limit));
        assert_eq!(stand.judge(session).await.err(), wanted, "session {n}");
    }
    assert!(stand.judge(&other).await.is_ok());
    assert_eq!(stand.one("SELECT count(*) FROM audit.events WHERE action = 'auth.session_revoked'").await, 2);
}

#[tokio::test]
async fn of_ten_requests_at_once_one_gets_the_session_its_other_id() {
    let stand = Arc::new(Stand::new().await);
    let old = stand.sign_in("u-1", "a").await;
    let mut unit = stand.db.begin().await;
    let rotated = unit.rotate_csrf_of(&old.session.actor, None, START).await.expect("rotated");
    assert_eq!(rotated, std::slice::from_ref(&old.session.id));
    unit.save_unaudited("as a change of roles does").await.expect("saved");
    let due = stand.judge(&old).await.expect("good");
    assert!(due.renew && due.csrf_epoch == 1);

    let requests = (0..10).map(|_| {
        let (stand, due) = (Arc::clone(&stand), due.clone());
        tokio::spawn(async move {
            let mut unit = stand.db.begin().await;
            let context = RequestContext::system("test");
            let made = renew(unit.stores(), &stand.db.ambient, &stand.maker(), &context, &due).await.expect("looked");
            match made {
                Some(minted) => unit.save().await.map(|()| Some(minted)).expect("saved"),
                None => unit.discard().await.map(|()| None).expect("discarded"),
            }
        })
    });
    let made: Vec<Minted> = join_all(requests).await.into_iter().filter_map(|made| made.expect("no panic")).collect();
    assert_eq!(made.len(), 1);
    let new = &made[0];
    assert_eq!(new.session.absolute_expires_at, old.session.absolute_expires_at, "it lives no longer for that");
    let secrets = stand.db.read().await.session_secrets(&new.session.id).await.expect("read");
    assert_eq!(secrets.idp_sid.as_deref(), Some("a"));
    let sealed = secrets.sealed_id_token.expect("a token");
    let cell = SealedColumn::ID_TOKEN.cell(&new.session.id);
    let open = certctl_ports::Sealer::open(stand.sealer.as_ref(), &sealed, cell).expect("its own cell");
    assert_eq!(open.as_slice(), b"token of a");

    // Both ids end together, whichever is named.
    assert!(stand.judge(&old).await.is_ok() && stand.judge(new).await.is_ok());
    let mut unit = stand.db.begin().await;
    assert_eq!(unit.revoke_session(&old.session.id, START, RevokedReason::Admin).await, Ok(true));
    unit.save_unaudited("a test").await.expect("saved");
    let ended = Some(Refusal::Revoked(RevokedReason::Admin));
    assert_eq!((stand.judge(&old).await.err(), stand.judge(new).await.err()), (ended, ended));
}

#[tokio::test]
async fn a_provider_ends_the_sessions_that_it_names_and_no_others() {
    let stand = Stand::new().await;
    let (one, two) = (stand.sign_in("u-1", "s1").await, stand.sign_in("u-1", "s2").await);
    let shared = stand.sign_in("u-2", "s1").await;
    let mut unit = stand.db.begin().await;
    let ended = unit.revoke_sessions_by_sid("op-1", "s1", Some("u-1"), START).await.expect("ended");
    assert_eq!(ended, std::slice::from_ref(&one.session.id));
    assert_eq!(unit.revoke_sessions_by_sid("op-2", "s2", None, START).await, Ok(Vec::new()));
    unit.save_unaudited("a test").await.expect("saved");
    assert_eq!(stand.judge(&one).await.err(), Some(Refusal::Revoked(RevokedReason::Idp)));
    assert!(stand.judge(&two).await.is_ok() && stand.judge(&shared).await.is_ok());
    let mut unit = stand.db.begin().await;
    assert_eq!(unit.revoke_sessions_of_provider("op-1", START).await, Ok(2));
}

#[tokio::test]
async fn what_is_past_its_end_is_removed_and_a_key_only_when_no_session_names_it() {
    let stand = Stand::new().await;
    let first = stand.sign_in("u-1", "a").await;
    let context = RequestContext::system("test");
    let mut unit = stand.db.begin().await;
    rotate_signing_key(unit.stores(), &stand.db.ambient, stand.sealer.as_ref(), &context, false)
        .await
        .expect("rotated");
    unit.save().await.expect("saved");
    stand
        .db
        .session()
        .await
        .batch_execute(
            "INSERT INTO iam.used_sign_ins VALUES ('pl-old', '2026-03-01 12:05Z'), ('pl-new', '2026-03-09 12:00Z'); \
             INSERT INTO iam.oidc_bcl_consumed_jtis VALUES ('j', 'https://idp.test', '2026-03-01Z', '2026-03-02Z')",
        )
        .await
        .expect("rows");
    let sweep = async || {
        let mut unit = stand.db.begin().await;
        let gone = collect(unit.stores(), &stand.db.ambient, RETENTION).await.expect("swept");
        unit.save_unaudited("a sweep").await.expect("saved");
        (gone.sessions, gone.sign_ins, gone.logout_tokens, gone.keys)
    };
    assert_eq!(sweep().await, (0, 0, 0, 0));
    stand.db.clock.set(first.session.absolute_expires_at - Duration::SECOND);
    assert_eq!(sweep().await, (0, 1, 0, 0), "the key is young and named");
    stand.db.clock.set(START + Duration::days(2));
    assert_eq!(sweep().await, (1, 0, 1, 1));
    assert_eq!(stand.one("SELECT count(*) FROM iam.session_signing_keys").await, 1);
}
