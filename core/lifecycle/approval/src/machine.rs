//! The moves of a request.

use crate::party::{BYPASS, REAPER};
use crate::{ApprovalError, ApprovalRequest, ApprovalState, Consumption, Decision, Party, Subject};
use certctl_kernel::Timestamp;
use time::Duration;

impl ApprovalRequest {
    fn leave_pending(
        &mut self,
        to: ApprovalState,
        by: Party,
        note: Option<String>,
        now: Timestamp,
    ) -> Result<(), ApprovalError> {
        if self.state != ApprovalState::Pending {
            let message = format!("the request is {} already", self.state.as_str());
            return Err(ApprovalError::conflict("already_decided", message));
        }
        self.state = to;
        self.state_entered_at = now;
        self.updated_at = now;
        self.decision = Some(Decision { by, at: now, note });
        Ok(())
    }

    fn still_open(&self, now: Timestamp) -> Result<(), ApprovalError> {
        if self.state == ApprovalState::Pending && self.expires_at <= now {
            return Err(ApprovalError::conflict("approval_expired", "the time for a decision is over; ask again"));
        }
        Ok(())
    }

    /// Is granted; an issuance must follow within `usable_for`.
    pub fn approve(
        &mut self,
        by: Party,
        note: Option<String>,
        usable_for: Duration,
        now: Timestamp,
    ) -> Result<(), ApprovalError> {
        by.may_decide_for(&self.requester)?;
        self.still_open(now)?;
        self.leave_pending(ApprovalState::Approved, by, note, now)?;
        self.expires_at = now + usable_for;
        Ok(())
    }

    /// Is granted without a second person, because approvals are switched off for a demonstration.
    pub fn bypass(&mut self, usable_for: Duration, now: Timestamp) -> Result<(), ApprovalError> {
        let note = Some("approvals are bypassed on this server".to_owned());
        self.leave_pending(ApprovalState::Approved, Party::system(BYPASS), note, now)?;
        self.expires_at = now + usable_for;
        Ok(())
    }

    /// Is refused.
    pub fn reject(&mut self, by: Party, note: Option<String>, now: Timestamp) -> Result<(), ApprovalError> {
        by.may_decide_for(&self.requester)?;
        self.still_open(now)?;
        self.leave_pending(ApprovalState::Rejected, by, note, now)
    }

    /// Is taken back by who asked.
    pub fn withdraw(&mut self, by: Party, note: Option<String>, now: Timestamp) -> Result<(), ApprovalError> {
        if !by.is_same(&self.requester) {
            return Err(ApprovalError::NotRequester);
        }
        self.leave_pending(ApprovalState::Withdrawn, by, note, now)
    }

    /// Ends because what it was for was called off.
    pub fn call_off(&mut self, by: Party, reason: &str, now: Timestamp) -> Result<(), ApprovalError> {
        self.leave_pending(ApprovalState::Withdrawn, by, Some(reason.to_owned()), now)
    }

    /// Ends because nobody decided in time.
    pub fn expire(&mut self, now: Timestamp) -> Result<(), ApprovalError> {
        if self.state == ApprovalState::Pending && self.expires_at > now {
            return Err(ApprovalError::conflict("not_expired", "the request can still be decided"));
        }
        self.leave_pending(ApprovalState::Expired, Party::system(REAPER), None, now)
    }

    /// Whether an issuance of `subject` with this key, in answer to this job, is the one that was granted.
    pub fn covers(&self, subject: &Subject, spki_sha256: &str, job_id: Option<&str>, now: Timestamp) -> bool {
        self.state == ApprovalState::Approved
            && self.consumed.is_none()
            && self.expires_at > now
            && self.certificate_id.as_deref() == Some(&*subject.certificate_id)
            && self.profile_id == subject.profile_id
            && self.payload == subject.payload()
            && self.spki_sha256.as_deref().is_none_or(|bound| bound == spki_sha256)
            && self.job_id.as_deref().is_none_or(|bound| job_id == Some(bound))
    }

    /// Is used up by the version that was issued; the key is bound with it.
    pub fn consume(&mut self, version_id: &str, now: Timestamp) -> Result<(), ApprovalError> {
        if self.state != ApprovalState::Approved || self.consumed.is_some() || self.expires_at <= now {
            return Err(ApprovalError::conflict("approval_unusable", "the approval was used, or ended"));
        }
        self.consumed = Some(Consumption { at: now, version_id: version_id.to_owned() });
        self.updated_at = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_kernel::{ActorType, DomainError};
    use proptest::prelude::*;
    use time::OffsetDateTime;

    const WEEK: Duration = Duration::WEEK;
    const KEY: &str = "aa";

    fn at(hours: i64) -> Timestamp {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::hours(hours)
    }

    fn subject() -> Subject {
        Subject {
            certificate_id: "mc-1".into(),
            common_name: "web.example.com".into(),
            sans: vec!["web.example.com".into()],
            owner_id: "o-1".into(),
            team_id: "t-1".into(),
            issuer_id: "iss-1".into(),
            profile_id: "prof-1".into(),
        }
    }

    fn key(id: &str, person: Option<&str>) -> Party {
        Party { id: id.into(), kind: ActorType::APIKey, person: person.map(Into::into) }
    }

    fn request() -> ApprovalRequest {
        subject().request("apr-1".into(), key("ada-laptop", Some("ada")), Some("job-1"), None, at(0), WEEK)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the result is made in the call")]
    fn code(result: Result<(), ApprovalError>) -> &'static str {
        match result {
            Ok(()) => "ok",
            Err(ApprovalError::TwoPersons(_)) => "two_persons",
            Err(ApprovalError::NotRequester) => "not_requester",
            Err(ApprovalError::Domain(DomainError::Conflict { code, .. })) => code,
            Err(_) => "other",
        }
    }

    #[test]
    fn a_person_can_decide_nothing_that_it_asked_for_by_whatever_credential() {
        let same = [key("ada-laptop", Some("ada")), key("ada-laptop", None), key("ada-phone", Some("ada"))];
        let user = Party { id: "ada".into(), kind: ActorType::User, person: Some("ada".into()) };
        for by in same.into_iter().chain([user]) {
            assert_eq!(code(request().approve(by.clone(), None, WEEK, at(1))), "two_persons", "{by:?}");
            assert_eq!(code(request().reject(by.clone(), None, at(1))), "two_persons", "{by:?}");
        }
        assert_eq!(code(request().approve(key("bob-laptop", Some("bob")), None, WEEK, at(1))), "ok");
    }

    #[test]
    fn what_names_no_person_decides_nothing() {
        let agent = Party { id: "agt-1".into(), kind: ActorType::Agent, person: None };
        let anonymous = Party { id: "actor-demo-anon".into(), kind: ActorType::Anonymous, person: None };
        for by in [key("ci-deploy", None), agent, anonymous, Party::system("system")] {
            assert_eq!(code(request().approve(by.clone(), None, WEEK, at(1))), "two_persons", "{by:?}");
            assert_eq!(code(request().reject(by, None, at(1))), "two_persons");
        }
    }

    #[test]
    fn after_its_end_a_request_can_only_expire() {
        let bob = || key("bob-laptop", Some("bob"));
        assert_eq!(code(request().expire(at(24 * 7 - 1))), "not_expired");
        let mut late = request();
        assert_eq!(code(late.approve(bob(), None, WEEK, at(24 * 7))), "approval_expired");
        assert_eq!(code(late.reject(bob(), None, at(24 * 7))), "approval_expired");
        assert_eq!(code(late.expire(at(24 * 7))), "ok");
        assert_eq!(late.decision.as_ref().map(|d| d.by.id.as_str()), Some("system-reaper"));
        assert_eq!(code(late.approve(bob(), None, WEEK, at(24 * 7))), "already_decided");
        assert!(!late.covers(&subject(), KEY, Some("job-1"), at(24 * 7)));
    }

    #[test]
    fn only_who_asked_takes_a_request_back() {
        assert_eq!(code(request().withdraw(key("bob-laptop", Some("bob")), None, at(1))), "not_requester");
        assert_eq!(code(request().withdraw(key("ada-phone", Some("ada")), None, at(1))), "ok");
    }

    #[test]
    fn an_approval_covers_one_issuance_of_what_was_shown() {
        let mut request = request();
        let covers = |request: &ApprovalRequest, subject: &Subject| request.covers(subject, KEY, Some("job-1"), at(2));
        assert!(!covers(&request, &subject()), "pending");
        request.approve(key("bob-laptop", Some("bob")), None, Duration::hours(3), at(1)).expect("another person");
        assert!(covers(&request, &subject()));
        let changed: [fn(&mut Subject); 6] = [
            |s| s.certificate_id = "mc-2".into(),
            |s| s.profile_id = "prof-2".into(),
            |s| s.sans.push("more.example.com".into()),
            |s| s.common_name = "other.example.com".into(),
            |s| s.owner_id = "o-2".into(),
            |s| s.issuer_id = "iss-2".into(),
        ];
        for change in changed {
            let mut other = subject();
            change(&mut other);
            assert!(!covers(&request, &other), "{other:?}");
        }
        assert!(!request.covers(&subject(), KEY, Some("job-2"), at(2)), "another job");
        assert!(!request.covers(&subject(), KEY, None, at(2)), "no job");
        assert!(!request.covers(&subject(), KEY, Some("job-1"), at(4)), "too late");
        let bound = ApprovalRequest { spki_sha256: Some("bb".into()), ..request.clone() };
        assert!(!covers(&bound, &subject()), "another key");
        request.consume("cv-1", at(2)).expect("its first use");
        assert!(!covers(&request, &subject()), "used");
        assert_eq!(code(request.consume("cv-2", at(2))), "approval_unusable");
    }

    #[derive(Debug, Clone)]
    enum Move {
        Approve(Party),
        Reject(Party),
        Withdraw(Party),
        Bypass,
        CallOff,
        Expire,
        Consume,
    }

    fn any_party() -> impl Strategy<Value = Party> {
        let kind = prop_oneof![
            Just(ActorType::APIKey),
            Just(ActorType::User),
            Just(ActorType::Agent),
            Just(ActorType::System),
            Just(ActorType::Anonymous)
        ];
        let id = prop_oneof![Just("ada-laptop"), Just("bob-laptop"), Just("ci")];
        let person = prop_oneof![Just(None), Just(Some("ada".to_owned())), Just(Some("bob".to_owned()))];
        (id, kind, person).prop_map(|(id, kind, person)| Party { id: id.to_owned(), kind, person })
    }

    fn any_move() -> impl Strategy<Value = Move> {
        prop_oneof![
            any_party().prop_map(Move::Approve),
            any_party().prop_map(Move::Reject),
            any_party().prop_map(Move::Withdraw),
            Just(Move::Bypass),
            Just(Move::CallOff),
            Just(Move::Expire),
            Just(Move::Consume),
        ]
    }

    proptest! {
        #[test]
        fn no_sequence_of_moves_issues_without_a_second_person_or_decides_twice(
            moves in prop::collection::vec((any_move(), 0..240_i64), 1..20)
        ) {
            let mut request = request();
            let mut decisions = 0;
            let mut uses = 0;
            let mut now = at(0);
            for (step, pause) in moves {
                now += Duration::hours(pause);
                let before = request.clone();
                let result = match step {
                    Move::Approve(by) => request.approve(by, None, WEEK, now),
                    Move::Reject(by) => request.reject(by, None, now),
                    Move::Withdraw(by) => request.withdraw(by, None, now),
                    Move::Bypass => request.bypass(WEEK, now),
                    Move::CallOff => request.call_off(Party::system("x"), "gone", now),
                    Move::Expire => request.expire(now),
                    Move::Consume => request.consume("cv-1", now),
                };
                if result.is_err() {
                    prop_assert_eq!(&request, &before);
                    continue;
                }
                if request.state == before.state {
                    uses += 1;
                    prop_assert_eq!(before.state, ApprovalState::Approved);
                    prop_assert!(before.expires_at > now);
                } else {
                    decisions += 1;
                    let by = request.decision.clone().expect("a decision").by;
                    match request.state {
                        ApprovalState::Approved | ApprovalState::Rejected => prop_assert!(
                            by == Party::system(BYPASS) || (by.person.is_some() && !by.is_same(&request.requester))
                        ),
                        ApprovalState::Expired => prop_assert!(before.expires_at <= now),
                        _ => {}
                    }
                }
            }
            prop_assert!(decisions <= 1 && uses <= 1);
        }
    }
}
