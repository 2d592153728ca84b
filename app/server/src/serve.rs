//! Running the server: listeners, loops, reloads, and a stop that loses nothing.

use crate::boot::{self, BootError, Parts};
use crate::config::Config;
use crate::scheduler::Scheduler;
use crate::{access, audit_log, breakglass, local_issuer, oidc, people, retention, sessions, tls};
use actix_web::HttpServer;
use actix_web::dev::ServerHandle;
use certctl_agents::{EnrolmentToken, FleetSettings, agent_offline_sweep};
use certctl_apikey::tell_of_ended_keys;
use certctl_approval::{ApprovalSettings, ExpirySettings, expire_due};
use certctl_audit::{Action, AuditEvent};
use certctl_http::edge::ApiError;
use certctl_http::{AppConfig, AppState, Backends, Bootstrap, HttpSettings, KeyAuthenticator, RateLimitSettings};
use certctl_issuers::{LocalIssuerSettings, LocalIssuers};
use certctl_jobs::{SweepSettings, reap_timeouts, retry_due};
use certctl_kernel::{DomainError, RequestContext};
use certctl_port_issuer::IssuerRegistry;
use certctl_ports::{Ambient, Change, KeyGenerator};
use certctl_postgres::{Listener, Notice, Postgres};
use certctl_rbac::expire_grants;
use certctl_renewal::{PurgeSettings, ScanSettings, purge, renewal_scan};
use certctl_revocation::StatusSettings;
use certctl_signers::{RingKeys, Tokens};
use certctl_unit_of_work::{Database, Stores};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const PAIR_POLL: Duration = Duration::from_secs(5);
const RELISTEN: Duration = Duration::from_secs(1);

fn settings(config: &Config) -> HttpSettings {
    HttpSettings {
        max_body_size: config.max_body_size,
        strict_json: config.strict_json,
        lenient_query: config.lenient_query,
        cors_origins: config.cors_origins.clone(),
        hsts: config.hsts,
        trusted_proxies: config.trusted_proxies.clone(),
        rate_limit: config.rate_limit.map(|(rps, burst, user_rps, user_burst)| RateLimitSettings {
            per_address: rps,
            address_burst: burst,
            per_principal: user_rps,
            principal_burst: user_burst,
        }),
        limit_idle: config.rate_limit_bucket_ttl,
        exports_per_hour: config.exports_per_hour,
        ocsp_per_minute: config.ocsp_per_minute,
        approvals: approvals(config),
        request_timeout: Duration::from_secs(110),
        auth_type: config.auth_type,
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("CERTCTL_COMMIT"),
        compiler: env!("CERTCTL_COMPILER"),
    }
}

fn approvals(config: &Config) -> ApprovalSettings {
    ApprovalSettings { timeout: certctl_time(config.awaiting_approval_timeout), bypass: config.approval_bypass }
}

fn certctl_time(duration: Duration) -> time::Duration {
    time::Duration::try_from(duration).unwrap_or(time::Duration::MAX)
}

/// Runs until a signal; `Ok(false)` when the stop was cut short.
pub(crate) async fn run(config: Config) -> Result<bool, BootError> {
    let parts = boot::parts(&config).await?;
    let outcome = run_with(&config, &parts).await;
    // Whatever happened, the database stops in order and the directory is free again.
    parts.database.close();
    if let Some(private) = parts.private {
        private.stop().await;
    }
    outcome
}

async fn run_with(config: &Config, parts: &Parts) -> Result<bool, BootError> {
    let database: Arc<dyn Database> = Arc::new(parts.database.clone());
    crate::metrics::watch_pool(&parts.database)
        .map_err(|error| BootError::Io { what: "metrics".to_owned(), source: std::io::Error::other(error) })?;
    let authenticator = Arc::new(KeyAuthenticator::new(Arc::clone(&database), parts.ambient.clone()));
    let tokens = config.pkcs11_module.clone().map(|module| Tokens::new(module, config.pkcs11_pin_file.clone()));
    let keys: Arc<dyn KeyGenerator> =
        Arc::new(tokens.map_or_else(RingKeys::new, |tokens| RingKeys::with_tokens(Arc::new(tokens))));
    let local = LocalIssuerSettings {
        backdate: certctl_time(config.issuance_backdate),
        pki_base_url: config.pki_base_url.clone(),
    };
    let issuers: Arc<dyn IssuerRegistry> =
        Arc::new(LocalIssuers::new(parts.ambient.clone(), Arc::clone(&keys), Arc::clone(&parts.sealer), local));
    local_issuer::ensure(config, database.as_ref(), issuers.as_ref(), &parts.ambient).await?;
    breakglass::open_at_boot(config, database.as_ref(), &parts.ambient).await?;
    let status = StatusSettings {
        crl_validity: certctl_time(config.crl_validity),
        ocsp_validity: certctl_time(config.ocsp_response_validity),
        backdate: certctl_time(config.issuance_backdate),
        responder_validity: certctl_time(config.ocsp_responder_validity),
        responder_grace: certctl_time(config.ocsp_responder_grace),
    };
    let backends = Backends {
        sealer: Arc::clone(&parts.sealer),
        keys: Arc::clone(&keys),
        issuers: Arc::clone(&issuers),
        targets: Arc::new(certctl_targets::Catalogue),
        status,
        enrolment: EnrolmentToken::new(config.agent_bootstrap_token.clone()),
    };
    let (access_log, access_writer) = certctl_http::edge::access_log(config.access_log_sample_get);
    let mut state = AppState::new(Arc::clone(&database), authenticator, parts.ambient.clone(), settings(config))
        .with(backends)
        .with_log(Arc::clone(&parts.log))
        .with_sessions(sessions::open(config, database.as_ref(), &parts.ambient, Arc::clone(&parts.sealer)).await?)
        .with_oidc(oidc::open(config, database.as_ref(), &parts.ambient, parts.sealer.as_ref()).await?)
        .showing(access::runtime_config(config))
        .with_access_log(access_log);
    if let Some(breakglass) = breakglass::open(config, database.as_ref()).await? {
        state = state.with_breakglass(breakglass);
    }
    if config.rate_limit_shared {
        let limits = parts.database.rate_limits(config.rate_limit_budget)?;
        limits.warm().await?;
        state = state.counting_in(Arc::new(limits));
    }
    let app = AppConfig::new(state, Bootstrap::new(config.bootstrap_token.clone()));

    let address = SocketAddr::new(config.host, config.port);
    let bind_error = |source| BootError::Io { what: format!("listening on {address}"), source };
    let tls_config = tls::server_config(Arc::clone(&parts.pair))?;
    let for_workers = app.clone();
    let server = HttpServer::new(move || certctl_http::application!(&for_workers))
        .workers(std::thread::available_parallelism().map_or(2, usize::from).min(8))
        .disable_signals()
        .client_request_timeout(Duration::from_secs(5))
        .keep_alive(Duration::from_mins(1))
        .shutdown_timeout(config.shutdown_timeout.as_secs())
        .bind_rustls_0_23(address, tls_config)
        .map_err(bind_error)?
        .run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    let public_pki = match config.pki_http_listen {
        Some(address) => Some(plain_listener(&app, address)?),
        None => None,
    };

    let listening = tokio::spawn(hear_changes(parts.database.clone(), app.clone()));
    let confirming = tokio::spawn(access::confirm_access(parts.database.clone(), app.clone()));
    let (stop_loops, stopping) = tokio::sync::watch::channel(false);
    let sealing =
        audit_log::run(Arc::clone(&parts.log), Arc::clone(&database), parts.ambient.clone(), stopping.clone());
    let verifying =
        audit_log::verify(Arc::clone(&parts.log), Arc::clone(&database), parts.ambient.clone(), stopping.clone());
    let (end_access_log, access_log_ends) = tokio::sync::oneshot::channel();
    let accessing = actix_web::rt::spawn(access_writer.run(Arc::clone(&database), access_log_ends));
    let archiving = retention::run(
        Arc::clone(&parts.log),
        Arc::clone(&database),
        parts.ambient.clone(),
        retention::place(config, parts.data_dir.path()),
        retention::settings(config),
        stopping.clone(),
    );
    let scheduler = Scheduler { database: Arc::clone(&database), ambient: parts.ambient.clone(), stopping };
    let reporting = tokio::spawn(report(app.clone(), Arc::clone(&database)));
    let mut loops = start_loops(config, &scheduler, &app);
    loops.extend(sessions::start_loops(config, &scheduler, &parts.sealer));
    loops.push(people::start_retention(config, &scheduler));
    let usage = access::write_usage_down(parts.database.clone(), app.clone(), scheduler.stopping.clone());
    loops.push(tokio::spawn(usage));
    let reloading = tokio::spawn(watch_pair(Arc::clone(&parts.pair), Arc::clone(&database), parts.ambient.clone()));

    note(&database, Action::ServerStarted, json!({"version": crate::commands::VERSION})).await?;
    app.state.accepting.store(true, Ordering::SeqCst);
    announce(config, parts, address);

    wait_for_stop(&handle).await;
    stop_loops.send_replace(true);
    let clean = stop(config, &app, handle, public_pki, serving).await;
    for running in loops.into_iter().chain([sealing, verifying, archiving]) {
        if let Err(error) = running.await {
            tracing::warn!(%error, "a loop ended badly");
        }
    }
    // Requests in flight used rights until the very end.
    access::flush(&parts.database, &app).await;
    // Nobody asks any more, so what is queued is all that there will be.
    drop(end_access_log);
    if let Err(error) = accessing.await {
        tracing::warn!(%error, "the request log ended badly");
    }
    listening.abort();
    reporting.abort();
    app.state.report_refusals().await;
    confirming.abort();
    reloading.abort();
    note(&database, Action::ServerStopped, json!({"clean": clean})).await?;
    audit_log::finish(&parts.log, database.as_ref(), &parts.ambient).await?;
    Ok(clean)
}

const BATCH: i64 = 500;
const REPORT: Duration = Duration::from_mins(1);
const GRANT_EXPIRY: Duration = Duration::from_mins(1);
const PARTITIONS: Duration = Duration::from_hours(1);
const BREAKGLASS: Duration = Duration::from_mins(1);
const TIDY: Duration = Duration::from_mins(5);

fn start_loops(config: &Config, scheduler: &Scheduler, app: &AppConfig) -> Vec<tokio::task::JoinHandle<()>> {
    let (crls, responders) = (app.clone(), app.clone());
    let sweeps = SweepSettings { csr_timeout: certctl_time(config.awaiting_csr_timeout), ..SweepSettings::default() };
    let approvals = approvals(config);
    let access_log = certctl_time(config.access_log_retention);
    let whole = certctl_time(config.audit_full_verify_interval);
    let serving = |error: ApiError| DomainError::Internal { reason: error.to_string() };
    let mut loops = vec![
        scheduler.every("crl-generation", config.crl_interval, async move |_: &mut dyn Stores, _: &Ambient| {
            crls.state.status().map_err(serving)?.crl_tick().await
        }),
        scheduler.every("ocsp-responders", config.crl_interval, async move |_: &mut dyn Stores, _: &Ambient| {
            responders.state.status().map_err(serving)?.responder_tick().await
        }),
        scheduler.every(
            "renewal-check",
            config.renewal_check_interval,
            async move |stores: &mut dyn Stores, ambient: &Ambient| {
                renewal_scan(stores, ambient, &approvals, &ScanSettings::default()).await
            },
        ),
        scheduler.every("job-retry", config.retry_interval, async move |stores: &mut dyn Stores, ambient: &Ambient| {
            retry_due(stores, ambient, &sweeps).await
        }),
        scheduler.every(
            "job-reaper",
            config.job_timeout_interval,
            async move |stores: &mut dyn Stores, ambient: &Ambient| reap_timeouts(stores, ambient, &sweeps).await,
        ),
        scheduler.every(
            "approval-expiry",
            config.job_timeout_interval,
            async |stores: &mut dyn Stores, ambient: &Ambient| {
                expire_due(stores, ambient, &ExpirySettings::default()).await
            },
        ),
        scheduler.every(
            "agent-health",
            config.agent_health_interval,
            async |stores: &mut dyn Stores, ambient: &Ambient| {
                let context = RequestContext::system("scheduler:agent-health");
                agent_offline_sweep(stores, ambient, &context, FleetSettings::default(), BATCH).await
            },
        ),
        scheduler.every("grant-expiry", GRANT_EXPIRY, async |stores: &mut dyn Stores, ambient: &Ambient| {
            let context = RequestContext::system("scheduler:grant-expiry");
            let grants = expire_grants(stores, ambient, &context).await?;
            Ok(grants + tell_of_ended_keys(stores, ambient, &context).await?)
        }),
        scheduler.every("audit-partitions", PARTITIONS, async move |stores: &mut dyn Stores, ambient: &Ambient| {
            retention::turn(stores, ambient, access_log).await
        }),
        scheduler.every(
            "audit-verify",
            config.audit_verify_interval,
            async move |stores: &mut dyn Stores, ambient: &Ambient| {
                let context = RequestContext::system("scheduler:audit-verify");
                Ok(certctl_audit_log::begin_due(stores, ambient, &context, whole).await?.map_or(0, |_| 1))
            },
        ),
        scheduler.every("breakglass-window", BREAKGLASS, async |stores: &mut dyn Stores, ambient: &Ambient| {
            breakglass::end_of_window(stores, ambient).await
        }),
        scheduler.every("housekeeping", TIDY, async |stores: &mut dyn Stores, ambient: &Ambient| {
            purge(stores, ambient, &PurgeSettings::default()).await
        }),
    ];
    if config.rate_limit_shared && !config.rate_limit_janitor_interval.is_zero() {
        let app = app.clone();
        loops.push(scheduler.every(
            "rate-limit-janitor",
            config.rate_limit_janitor_interval,
            async move |_: &mut dyn Stores, _: &Ambient| {
                Ok(i64::try_from(app.state.sweep_limits().await?).unwrap_or(0))
            },
        ));
    }
    loops
}

/// Every replica tells of its own refusals and shows its own figures, so this is no loop of the scheduler.
async fn report(app: AppConfig, database: Arc<dyn Database>) {
    loop {
        if let Err(error) = crate::metrics::count_secrets(database.as_ref()).await {
            tracing::warn!(%error, "sealed values could not be counted");
        }
        tokio::time::sleep(REPORT).await;
        app.state.report_refusals().await;
    }
}

fn plain_listener(app: &AppConfig, address: SocketAddr) -> Result<ServerHandle, BootError> {
    let app = app.clone();
    let server = HttpServer::new(move || certctl_http::public_pki_application!(&app))
        .workers(1)
        .disable_signals()
        .client_request_timeout(Duration::from_secs(5))
        .bind(address)
        .map_err(|source| BootError::Io { what: format!("listening on {address}"), source })?
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

fn announce(config: &Config, parts: &Parts, address: SocketAddr) {
    tracing::info!(
        %address,
        version = crate::commands::VERSION,
        fingerprint_sha256 = parts.pair.fingerprint(),
        ca = parts.bootstrap_ca.as_ref().map(|path| path.display().to_string()),
        data_dir = %parts.data_dir.path().display(),
        database = if parts.private.is_some() { "private" } else { "external" },
        "certctl is ready"
    );
    if config.approval_bypass {
        tracing::warn!("CERTCTL_APPROVAL_BYPASS is on: everything is approved without a second person");
    }
    if config.demo {
        tracing::warn!("the demo mode is on: this server must not be reachable by others");
    }
}

async fn note(database: &Arc<dyn Database>, action: Action, details: serde_json::Value) -> Result<(), BootError> {
    let mut unit = database.begin().await?;
    let replica = format!("pid-{}", std::process::id());
    unit.stores().record(AuditEvent::new(action, &RequestContext::system("server"), replica, details)).await?;
    unit.save().await?;
    Ok(())
}

/// Keeps the caches honest: they are trusted only while changes on other replicas are heard.
async fn hear_changes(database: Postgres, app: AppConfig) {
    loop {
        match Listener::connect(&database).await {
            Ok(mut listener) => {
                while let Some(notice) = listener.next().await {
                    match notice {
                        Notice::Connected => {
                            trust(&app, true);
                            sessions::reload(&app).await;
                        }
                        Notice::Disconnected => break,
                        Notice::Changed(Change::SessionKeys) => sessions::reload(&app).await,
                        Notice::Changed(change) => hear(&app, &change),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "changes on other replicas can't be heard"),
        }
        trust(&app, false);
        tokio::time::sleep(RELISTEN).await;
    }
}

fn hear(app: &AppConfig, change: &Change) {
    if *change == Change::Access {
        app.state.access.forget();
    }
    if let Change::IdentityProvider(id) = change {
        oidc::forget(app, id);
    }
    if let Ok(status) = app.state.status() {
        status.on_change(change);
    }
}

fn trust(app: &AppConfig, trusted: bool) {
    app.state.access.set_trusted(trusted);
    if let Ok(status) = app.state.status() {
        if trusted {
            status.on_connect();
        } else {
            status.on_disconnect();
        }
    }
}

async fn watch_pair(pair: Arc<tls::ReloadingPair>, database: Arc<dyn Database>, ambient: Ambient) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::error!("SIGHUP can't be handled; TLS material is reloaded on file change only");
        return;
    };
    loop {
        let forced = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(PAIR_POLL) => false,
        };
        let outcome = match pair.reload(forced, ambient.now()) {
            Ok(None) => continue,
            Ok(Some((old, new))) => {
                tracing::info!(old, new, "TLS material reloaded");
                note(&database, Action::TlsReloaded, json!({"old": old, "new": new})).await
            }
            Err(error) => {
                tracing::error!(%error, "TLS material could not be reloaded; the old pair stays in use");
                note(&database, Action::TlsReloadFailed, json!({"reason": error.to_string()})).await
            }
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "the reload could not be recorded");
        }
    }
}

async fn wait_for_stop(handle: &ServerHandle) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals can't be handled; stopping");
        handle.stop(true).await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    // A second signal means at once.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => std::process::exit(143),
            _ = interrupt.recv() => std::process::exit(130),
        }
    });
}

async fn stop(
    config: &Config,
    app: &AppConfig,
    handle: ServerHandle,
    public_pki: Option<ServerHandle>,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
) -> bool {
    app.state.accepting.store(false, Ordering::SeqCst);
    tokio::time::sleep(config.drain_delay).await;
    let drained = async {
        handle.stop(true).await;
        if let Some(listener) = public_pki {
            listener.stop(true).await;
        }
        serving.await.is_ok_and(|outcome| outcome.is_ok())
    };
    let outcome = tokio::time::timeout(config.shutdown_timeout, drained).await;
    outcome.unwrap_or_else(|_| {
        tracing::warn!("requests were still running at the end of CERTCTL_SHUTDOWN_TIMEOUT");
        false
    })
}
