//! Approval requests.

use crate::jobs::unreadable;
use crate::paging::{Filters, KeyKind, ListSql, key_of};
use crate::unit_of_work::{Params, PgUnitOfWork};
use async_trait::async_trait;
use certctl_approval::{
    ApprovalFilter, ApprovalKind, ApprovalRequest, ApprovalState, ApprovalStore, Comment, Consumption, Decision, Event,
    Party, Standing,
};
use certctl_kernel::{Actor, ActorType, ListQuery, Page, StoreError, Timestamp};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tokio_postgres::Row;

const COLUMNS: &str = "r.id, r.tenant_id, r.kind, r.certificate_id, r.job_id, r.profile_id, r.requested_by, \
     r.requested_by_type, r.requested_by_person, r.state, r.state_entered_at, r.decided_by, r.decided_by_type, \
     r.decided_by_person, r.decided_at, r.decision_note, r.metadata, r.payload, r.base, r.base_version, r.spki_sha256, \
     r.expires_at, r.consumed_at, r.consumed_version_id, r.row_version, r.created_at, r.updated_at";

fn kind_of(text: &str) -> Result<ActorType, StoreError> {
    ActorType::parse(text).ok_or_else(|| unreadable(text))
}

fn object(value: Value) -> Result<Map<String, Value>, StoreError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(unreadable("an approval request without a document")),
    }
}

fn request(row: &Row) -> Result<ApprovalRequest, StoreError> {
    let (kind, state): (&str, &str) = (row.get(2), row.get(9));
    let decided_by: Option<String> = row.get(11);
    let decision = match decided_by {
        Some(id) => Some(Decision {
            by: Party { id, kind: kind_of(row.get(12))?, person: row.get(13) },
            at: row.get(14),
            note: row.get(15),
        }),
        None => None,
    };
    let metadata: BTreeMap<String, String> = object(row.get(16))?
        .into_iter()
        .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let consumed_at: Option<Timestamp> = row.get(22);
    Ok(ApprovalRequest {
        id: row.get(0),
        tenant_id: row.get(1),
        kind: ApprovalKind::parse(kind).ok_or_else(|| unreadable(kind))?,
        certificate_id: row.get(3),
        job_id: row.get(4),
        profile_id: row.get(5),
        requester: Party { id: row.get(6), kind: kind_of(row.get(7))?, person: row.get(8) },
        state: ApprovalState::parse(state).ok_or_else(|| unreadable(state))?,
        state_entered_at: row.get(10),
        decision,
        metadata,
        payload: object(row.get(17))?,
        base: row.get::<_, Option<Value>>(18).map(object).transpose()?,
        base_version: row.get(19),
        spki_sha256: row.get(20),
        expires_at: row.get(21),
        consumed: consumed_at.map(|at| Consumption { at, version_id: row.get(23) }),
        row_version: row.get(24),
        created_at: row.get(25),
        updated_at: row.get(26),
    })
}

/// An actor in one text, for comparison.
fn name_of(party: &Party) -> String {
    format!("{}:{}", party.kind.as_str(), party.id)
}

impl PgUnitOfWork {
    async fn one_approval(&self, rest: &str, params: Params<'_>) -> Result<Option<ApprovalRequest>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM approval.requests r WHERE {rest}");
        self.query_opt(&sql, params).await?.as_ref().map(request).transpose()
    }

    async fn some_approvals(&self, rest: &str, params: Params<'_>) -> Result<Vec<ApprovalRequest>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM approval.requests r WHERE {rest}");
        self.query(&sql, params).await?.iter().map(request).collect()
    }
}

#[async_trait]
impl ApprovalStore for PgUnitOfWork {
    async fn standing(&mut self, actor: &Actor) -> Result<Standing, StoreError> {
        match actor.kind {
            ActorType::User => Ok(Standing { owner: Some(actor.id.clone()), maker: None }),
            ActorType::APIKey => {
                let now = self.ambient().now();
                let row = self
                    .query_one(
                        "SELECT (SELECT CASE WHEN count(*) = count(k.owner_user_id) \
                               AND count(DISTINCT k.owner_user_id) = 1 THEN min(k.owner_user_id) END \
                             FROM iam.api_keys k WHERE k.tenant_id = $1 AND k.name = $2 AND k.disabled_at IS NULL \
                               AND (k.expires_at IS NULL OR k.expires_at > $3) \
                               AND (k.overlap_until IS NULL OR k.overlap_until > $3)), \
                           (SELECT m.owner_user_id FROM iam.api_keys k JOIN iam.api_keys m \
                               ON m.tenant_id = k.tenant_id AND m.name = k.created_by AND m.owner_user_id IS NOT NULL \
                             WHERE k.tenant_id = $1 AND k.name = $2 \
                             ORDER BY k.created_at DESC, m.created_at DESC LIMIT 1)",
                        &[&actor.tenant_id, &actor.id, &now],
                    )
                    .await?;
                Ok(Standing { owner: row.get(0), maker: row.get(1) })
            }
            ActorType::System | ActorType::Agent | ActorType::Anonymous => Ok(Standing::default()),
        }
    }

    async fn insert_approval(&mut self, request: &ApprovalRequest) -> Result<bool, StoreError> {
        let metadata = serde_json::json!(request.metadata);
        let inserted = self
            .execute(
                "INSERT INTO approval.requests (id, tenant_id, kind, certificate_id, job_id, profile_id, requested_by, \
                   requested_by_type, requested_by_person, state, state_entered_at, metadata, payload, base, \
                   base_version, spki_sha256, expires_at, row_version, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
                 ON CONFLICT DO NOTHING",
                &[
                    &request.id,
                    &request.tenant_id,
                    &request.kind.as_str(),
                    &request.certificate_id,
                    &request.job_id,
                    &request.profile_id,
                    &request.requester.id,
                    &request.requester.kind.as_str(),
                    &request.requester.person,
                    &request.state.as_str(),
                    &request.state_entered_at,
                    &metadata,
                    &Value::Object(request.payload.clone()),
                    &request.base.clone().map(Value::Object),
                    &request.base_version,
                    &request.spki_sha256,
                    &request.expires_at,
                    &request.row_version,
                    &request.created_at,
                    &request.updated_at,
                ],
            )
            .await?;
        Ok(inserted == 1)
    }

    async fn approval(&mut self, id: &str) -> Result<Option<ApprovalRequest>, StoreError> {
        self.one_approval("r.id = $1", &[&id]).await
    }

    async fn approval_for_update(&mut self, id: &str) -> Result<Option<ApprovalRequest>, StoreError> {
        self.one_approval("r.id = $1 FOR UPDATE OF r", &[&id]).await
    }

    async fn approval_of_job(&mut self, job_id: &str) -> Result<Option<ApprovalRequest>, StoreError> {
        self.one_approval("r.job_id = $1 ORDER BY r.created_at DESC, r.id DESC LIMIT 1", &[&job_id]).await
    }

    async fn pending_issuance(&mut self, certificate_id: &str) -> Result<Option<ApprovalRequest>, StoreError> {
        self.one_approval(
            "r.certificate_id = $1 AND r.kind = 'cert_issuance' AND r.state = 'pending' FOR UPDATE OF r",
            &[&certificate_id],
        )
        .await
    }

    async fn pending_profile_edit(&mut self, profile_id: &str) -> Result<Option<ApprovalRequest>, StoreError> {
        self.one_approval("r.profile_id = $1 AND r.kind = 'profile_edit' AND r.state = 'pending'", &[&profile_id]).await
    }

    async fn unused_approvals(
        &mut self,
        certificate_id: &str,
        now: Timestamp,
    ) -> Result<Vec<ApprovalRequest>, StoreError> {
        self.some_approvals(
            "r.certificate_id = $1 AND r.kind = 'cert_issuance' AND r.state = 'approved' AND r.consumed_at IS NULL \
             AND r.expires_at > $2 ORDER BY r.created_at, r.id FOR UPDATE OF r",
            &[&certificate_id, &now],
        )
        .await
    }

    async fn save_approval(&mut self, request: &ApprovalRequest) -> Result<bool, StoreError> {
        let decision = request.decision.as_ref();
        let saved = self
            .execute(
                "UPDATE approval.requests SET state = $3, state_entered_at = $4, decided_by = $5, decided_by_type = $6, \
                   decided_by_person = $7, decided_at = $8, decision_note = $9, expires_at = $10, consumed_at = $11, \
                   consumed_version_id = $12, updated_at = $13, row_version = row_version + 1 \
                 WHERE id = $1 AND row_version = $2",
                &[
                    &request.id,
                    &request.row_version,
                    &request.state.as_str(),
                    &request.state_entered_at,
                    &decision.map(|decision| &decision.by.id),
                    &decision.map(|decision| decision.by.kind.as_str()),
                    &decision.and_then(|decision| decision.by.person.as_ref()),
                    &decision.map(|decision| decision.at),
                    &decision.and_then(|decision| decision.note.as_ref()),
                    &request.expires_at,
                    &request.consumed.as_ref().map(|consumed| consumed.at),
                    &request.consumed.as_ref().map(|consumed| &consumed.version_id),
                    &request.updated_at,
                ],
            )
            .await?;
        Ok(saved == 1)
    }

    async fn overdue_approvals(&mut self, now: Timestamp, limit: i64) -> Result<Vec<ApprovalRequest>, StoreError> {
        self.some_approvals(
            "r.state = 'pending' AND (r.expires_at <= $1 OR EXISTS (SELECT FROM work.jobs j WHERE j.id = r.job_id \
               AND j.status <> 'AwaitingApproval')) ORDER BY r.expires_at, r.id LIMIT $2",
            &[&now, &limit],
        )
        .await
    }

    async fn approvals_page(
        &mut self,
        filter: &ApprovalFilter,
        list: &ListQuery,
    ) -> Result<Page<ApprovalRequest>, StoreError> {
        let sql = ListSql {
            columns: COLUMNS,
            from: "approval.requests r",
            key: "r.created_at",
            kind: KeyKind::Time,
            id: "r.id",
            descending: true,
        };
        let mine = filter.asked_by.as_ref().map(|party| vec![Some(name_of(party)), party.person.clone()]);
        let deciding = filter.decidable.as_ref();
        // A party that is no known person decides nothing; the second side of each request must be another person.
        let nobody = deciding.is_some_and(|decidable| decidable.by.person.is_none()).then_some(false);
        let filters = Filters::default()
            .with("r.state = ?", "text", filter.state.map(ApprovalState::as_str))
            .with("r.kind = ?", "text", filter.kind.map(ApprovalKind::as_str))
            .with("r.certificate_id = ?", "text", filter.certificate_id.as_deref())
            .with("r.requested_by = ?", "text", filter.requested_by.as_deref())
            .with("r.profile_id = ANY(?)", "text[]", filter.within.as_deref())
            .with(
                "(r.requested_by_type || ':' || r.requested_by = (?)[1] OR r.requested_by_person = (?)[2])",
                "text[]",
                mine,
            )
            .with("(r.state = 'pending' AND r.expires_at > ?)", "timestamptz", deciding.map(|decidable| decidable.now))
            .with("r.requested_by_type || ':' || r.requested_by <> ?", "text", deciding.map(|d| name_of(&d.by)))
            .with("r.requested_by_person IS DISTINCT FROM ?", "text", deciding.and_then(|d| d.by.person.as_deref()))
            .with("r.profile_id = ANY(?)", "text[]", deciding.and_then(|d| d.profiles.as_deref()))
            .with("?", "boolean", nobody);
        self.page(&sql, &filters, filter.fingerprint(), list, request, |row| {
            (key_of(Some(row.created_at)), row.id.clone())
        })
        .await
    }

    async fn insert_comment(&mut self, request_id: &str, comment: &Comment) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO approval.comments (request_id, author, author_type, text, at) VALUES ($1, $2, $3, $4, $5)",
            &[&request_id, &comment.author, &comment.author_type, &comment.text, &comment.at],
        )
        .await
        .map(|_| ())
    }

    async fn comments(&mut self, request_id: &str) -> Result<Vec<Comment>, StoreError> {
        let rows = self
            .query(
                "SELECT author, author_type, text, at FROM approval.comments WHERE request_id = $1 ORDER BY id",
                &[&request_id],
            )
            .await?;
        let read =
            |row: &Row| Comment { author: row.get(0), author_type: row.get(1), text: row.get(2), at: row.get(3) };
        Ok(rows.iter().map(read).collect())
    }

    async fn queue_telling(&mut self, request_id: &str, event: Event, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO approval.outbox (request_id, event, at) VALUES ($1, $2, $3)",
            &[&request_id, &event.as_str(), &at],
        )
        .await
        .map(|_| ())
    }
}
