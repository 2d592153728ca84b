//! `GET /auth/oidc/callback`

use super::{Oidc, PENDING, Params, cleared_pending_cookie, page_that_goes_on, redirect, to_sign_in_page, wants_page};
use crate::edge::cookies::{session_cookies, set_cookies};
use crate::edge::pipeline::record_alone;
use crate::edge::{ApiError, Cx, Sessions};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_kernel::{DomainError, Secret, StoreError};
use certctl_oidc::{
    Admission, AdmitError, Answer, Browser, Door, FailedSignIn, Failure, Pending, Provider, Refused, Vouched, admit,
    check_browser, registration, vouch,
};
use certctl_session::{Minted, Purpose, SameSite};

/// How often letting a person in is tried again when it met another change.
const TRIES: u32 = 3;
/// Characters of the provider's own error that are recorded.
const LONGEST_ERROR: usize = 100;

/// Ends a sign-in: checks what the provider says, and makes the session.
#[utoipa::path(
    get, path = "/auth/oidc/callback", tag = "auth",
    params(
        ("code" = Option<String>, Query, description = "The provider's code."),
        ("state" = Option<String>, Query, description = "Ties the answer to the browser that began."),
        ("iss" = Option<String>, Query, description = "Who answers (RFC 9207)."),
        ("error" = Option<String>, Query, description = "Why the provider refused (RFC 6749 section 4.1.2.1)."),
        ("error_description" = Option<String>, Query, description = "The same for people."),
    ),
    responses(
        (status = 200, description = "Signed in; a page that goes on, where cookies are Strict.", content_type = "text/html", body = String),
        (status = 302, description = "Signed in, or back to the sign-in page with the reason."),
        (status = 429, description = "Too many attempts.", body = crate::edge::ErrorBody),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let state = cx.state();
    state.take(&state.limits.oidc_callback, &cx.facts().address_key(), &cx.facts().nobody()).await?;
    let (oidc, sessions) = (state.oidc()?, state.sessions()?);
    let params = Params::read(cx.request().query_string().as_bytes())?;
    let error = params.get("error");
    if (params.get("code").is_none() && error.is_none()) || params.get("state").is_none() {
        let message = "missing code or state query parameter";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "missing_code_or_state", message));
    }
    let Some(cookie) = cx.request().cookie(PENDING).filter(|cookie| !cookie.value().is_empty()) else {
        let refused = Refused::of(Failure::MissingPreLoginCookie, "the browser brought no cookie of a sign-in");
        Attempt { cx: &cx, oidc, sessions, known: Known::default() }.tell(&refused).await;
        if wants_page(&cx) {
            return Ok(to_sign_in_page(Failure::MissingPreLoginCookie));
        }
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "missing_pre_login_cookie", "missing pre-login cookie"));
    };
    let mut attempt = Attempt { cx: &cx, oidc, sessions, known: Known::default() };
    let mut response = match attempt.run(cookie.value(), &params).await {
        Ok((minted, return_to)) => {
            crate::metrics::login(minted.session.provider_id.as_deref().unwrap_or_default(), "signed_in");
            let mut response = arrived(&return_to, sessions.settings.same_site);
            set_cookies(&mut response, &session_cookies(&minted, &sessions.settings))?;
            response
        }
        Err(refused) => {
            attempt.tell(&refused).await;
            to_sign_in_page(refused.failure)
        }
    };
    set_cookies(&mut response, &[cleared_pending_cookie()])?;
    Ok(response)
}

/// What is known of the attempt, for the events of a failure.
#[derive(Default)]
struct Known {
    sign_in_id: Option<String>,
    provider: Option<(String, String)>,
}

struct Attempt<'a> {
    cx: &'a Cx,
    oidc: &'a Oidc,
    sessions: &'a Sessions,
    known: Known,
}

impl Attempt<'_> {
    async fn run(&mut self, cookie: &str, params: &Params) -> Result<(Minted, String), Refused> {
        let (id, pending) = self.open(cookie).await?;
        self.known.sign_in_id = Some(id.clone());
        self.use_up(&id, &pending).await?;
        let browser = Browser {
            user_agent: self.cx.user_agent(),
            source_ip: self.cx.facts().source_ip.as_deref(),
            state: params.get("state").unwrap_or_default(),
        };
        check_browser(&pending, self.oidc.settings.binding, &browser)
            .map_err(|failure| Refused::of(failure, "the browser is not the one that began, or the answer not its"))?;
        let provider = self.provider(&pending).await?;
        self.known.provider = Some((provider.id.clone(), provider.issuer_url.clone()));
        if let Some(error) = params.get("error") {
            let told: String = error.chars().filter(char::is_ascii_graphic).take(LONGEST_ERROR).collect();
            return Err(Refused::of(Failure::IdpError, format!("the provider answered with the error {told}")));
        }
        let registration = registration(&provider, self.sessions.sealer())
            .map_err(|error| Refused::of(Failure::Unspecified, error.to_string()))?;
        let code = Secret::new(params.get("code").unwrap_or_default().to_owned());
        let answer = Answer { code: &code, issuer: params.get("iss") };
        let vouched =
            vouch(self.oidc.party.as_ref(), self.cx.ambient(), &provider, &registration, &pending, &answer).await?;
        let minted = self.admit(&provider, &vouched, &id).await?;
        Ok((minted, pending.return_to))
    }

    /// The sign-in that the cookie holds, if this installation sealed it and its time is not over.
    async fn open(&self, cookie: &str) -> Result<(String, Pending), Refused> {
        let refused = || Refused::of(Failure::PreLoginConsumeFailed, "the cookie is not one of a sign-in, or too old");
        // Four parts as every signed cookie has, and the sealed sign-in as the fifth.
        let (signed, sealed) = cookie.rsplit_once('.').ok_or_else(refused)?;
        let state = self.cx.state();
        self.sessions.meet(state.db.as_ref(), signed).await;
        let now = state.ambient.now();
        let verified = self.sessions.keys.verify(signed, Purpose::PreLogin, now).map_err(|_| refused())?;
        let pending = Pending::open(self.sessions.sealer(), &verified.id, sealed, now).map_err(|_| refused())?;
        Ok((verified.id, pending))
    }

    /// Uses it up, whatever becomes of it: of two answers at once one goes on.
    async fn use_up(&self, id: &str, pending: &Pending) -> Result<(), Refused> {
        let used = async {
            let mut unit = self.cx.state().db.begin().await?;
            let fresh = unit.stores().use_sign_in(id, pending.expires_at()).await?;
            unit.save_unaudited("a sign-in is used once; its outcome is recorded").await?;
            Ok::<_, StoreError>(fresh)
        };
        match used.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refused::of(Failure::PreLoginConsumeFailed, "the sign-in was used before")),
            Err(error) => Err(Refused::of(Failure::Unspecified, error.to_string())),
        }
    }

    async fn provider(&self, pending: &Pending) -> Result<Provider, Refused> {
        let found = async {
            let mut unit = self.cx.state().db.read().await?;
            unit.stores().provider(&pending.provider_id).await
        };
        let found = found.await.map_err(|error| Refused::of(Failure::Unspecified, error.to_string()))?;
        let off = || Refused::of(Failure::ProviderDisabled, "the provider is switched off or gone");
        found.filter(Provider::usable).ok_or_else(off)
    }

    async fn admit(&self, provider: &Provider, vouched: &Vouched, id: &str) -> Result<Minted, Refused> {
        let door = Door {
            maker: self.sessions.maker(),
            pepper: &self.oidc.pepper,
            admin_groups: &self.oidc.settings.admin_groups,
        };
        let admission = Admission {
            provider_id: &provider.id,
            vouched,
            source_ip: self.cx.facts().source_ip.as_deref().unwrap_or_default(),
            user_agent: self.cx.user_agent(),
            sign_in_id: id,
        };
        for attempt in 1.. {
            match self.admit_once(&door, &admission).await {
                Err(AdmitError::Domain(DomainError::Store(StoreError::Conflict))) if attempt < TRIES => {}
                Err(AdmitError::Domain(error)) => {
                    return Err(Refused {
                        subject: Some(vouched.identity.subject.clone()),
                        ..Refused::of(Failure::Unspecified, error.to_string())
                    });
                }
                Err(AdmitError::Refused(refused)) => return Err(refused),
                Ok(minted) => return Ok(minted),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn admit_once(&self, door: &Door<'_>, admission: &Admission<'_>) -> Result<Minted, AdmitError> {
        let state = self.cx.state();
        let mut unit = state.db.begin().await?;
        match admit(unit.stores(), &state.ambient, &self.cx.facts().nobody(), door, admission).await {
            Ok(minted) => {
                unit.save().await?;
                Ok(minted)
            }
            Err(error) => {
                unit.discard().await?;
                Err(error)
            }
        }
    }

    /// Records a failure. What anybody can cause without a sign-in of their own is added up where it comes in floods.
    async fn tell(&self, refused: &Refused) {
        let state = self.cx.state();
        let provider = self.known.provider.as_ref().map(|(id, issuer)| (id.as_str(), issuer.as_str()));
        let (provider_id, sign_in_id) = (provider.map(|(id, _)| id), self.known.sign_in_id.as_deref());
        crate::metrics::login(provider_id.unwrap_or_default(), refused.failure.as_str());
        tracing::info!(
            provider_id,
            sign_in_id,
            failure = refused.failure.as_str(),
            detail = refused.detail,
            request_id = self.cx.facts().request_id,
            "a sign-in failed"
        );
        let failed = FailedSignIn {
            refused,
            provider,
            sign_in_id,
            user_agent: self.cx.user_agent(),
            name_groups: self.oidc.settings.name_groups,
        };
        let mut events = failed.events(&self.cx.facts().nobody());
        if sign_in_id.is_none() {
            let source = format!("{} {}", refused.failure.as_str(), self.cx.facts().address_key());
            state.tell_of("oidc_callback", Some(&source), || events.remove(0)).await;
            return;
        }
        for event in events {
            record_alone(state, event).await;
        }
    }
}

/// On to where the person wanted to go. A Strict cookie does not come along on a way that another site began, so that
/// then a page of our own has to begin it.
fn arrived(return_to: &str, same_site: SameSite) -> HttpResponse {
    if same_site == SameSite::Lax { redirect(return_to) } else { page_that_goes_on(return_to) }
}
