//! `GET /api/v1/audit/export`

use crate::edge::pipeline::record_alone;
use crate::edge::{ApiError, Cx, QueryParams};
use crate::state::AppState;
use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpResponse};
use certctl_audit::{Action, AuditEvent, Category};
use certctl_audit_log::{
    DEFAULT_LIMIT, Export, ExportCommand, ExportFilter, ExportItem, ExportLine, SealError, StoredCheckpoint, Trailer,
    sign_now,
};
use certctl_kernel::{DomainError, Timestamp, timestamp};
use certctl_rbac::Caller;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use serde_json::{Value, json};
use std::io::Write as _;

/// The forms of an export.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Csv,
}

const FORMS: &[(&str, Form)] = &[("ndjson", Form::Lines), ("jsonl", Form::Lines), ("csv", Form::Csv)];
const CATEGORIES: &[(&str, Category)] = &[
    ("cert_lifecycle", Category::CertLifecycle),
    ("pki", Category::CertLifecycle),
    ("auth", Category::Auth),
    ("config", Category::Config),
];

/// Sealed events in the order of the log, a line each, and a trailer that says whether it is all: number of events,
/// first and last, and the signed head of the log. An error on the way is told there, too. `Accept-Encoding: gzip` is
/// honoured. Unless `limit=all`, a span of at most 90 days and 100000 events.
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "audit",
    params(
        ("from" = String, Query, description = "Not before this instant (RFC 3339 or a date)."),
        ("to" = String, Query, description = "Not after this instant; later than `from`."),
        ("category" = Option<String>, Query, description = "`cert_lifecycle`, `auth` or `config`."),
        ("limit" = Option<String>, Query, description = "The most events, 1 to 100000, or `all`; 50000 without."),
        ("format" = Option<String>, Query, description = "`ndjson` (the default) or `csv`."),
        ("proof" = Option<bool>, Query, description = "Show what is left out as `_skipped` lines with hashes, so that the export can be checked by itself; not for CSV."),
    ),
    responses(
        (status = 200, description = "The export.", content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 404, description = "The log is empty.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let required = |name| ApiError::invalid(name, "required", "is required");
    let filter = ExportFilter {
        since: params.time("from")?.ok_or_else(|| required("from"))?,
        until: params.time("to")?.ok_or_else(|| required("to"))?,
        category: params.choice("category", CATEGORIES)?,
    };
    let limit = match params.text("limit").as_deref() {
        None => Some(DEFAULT_LIMIT),
        Some("all") => None,
        Some(text) => Some(
            text.parse().map_err(|_| ApiError::invalid("limit", "not_a_number", "must be a whole number, or all"))?,
        ),
    };
    let form = params.choice("format", FORMS)?.unwrap_or(Form::Lines);
    let proof = params.flag("proof")?.unwrap_or(false);
    params.finish()?;
    if proof && form == Form::Csv {
        return Err(ApiError::invalid("proof", "not_with_csv", "only lines of JSON can show what is left out"));
    }
    let command = ExportCommand { filter: filter.clone(), limit, proof };
    let caller = cx.caller()?.clone();
    command.check(&caller)?;
    let checkpoint = covering(&cx).await?;
    let zipped = cx.header("accept-encoding").is_some_and(accepts_gzip);

    let name = format!("certctl-audit-{}_to_{}", day(filter.since), day(filter.until));
    let (kind, ending) = match form {
        Form::Lines => ("application/x-ndjson", "ndjson"),
        Form::Csv => ("text/csv; charset=utf-8", "csv"),
    };
    let streaming = Streaming {
        export: Export::new(command.clone(), checkpoint),
        form,
        gzip: zipped.then(|| GzEncoder::new(Vec::new(), Compression::default())),
        begun: false,
        account: Account { state: cx.shared(), caller, command, form, rows: 0, settled: false },
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept-Encoding"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{ending}\"")))
        .content_type(kind);
    if zipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.streaming(stream::unfold(Some(streaming), Streaming::pull)))
}

/// The head that covers everything committed so far. Where nobody may vouch for the log any more, the last one.
async fn covering(cx: &Cx) -> Result<StoredCheckpoint, ApiError> {
    let log = cx.state().log()?;
    let mut unit = cx.state().db.begin().await?;
    let kept = log.kept();
    let signed = match sign_now(unit.stores(), cx.ambient(), &log.key, &log.settings, kept.as_ref()).await {
        Ok(signed) => {
            unit.save_unaudited("a head is itself the record of what was sealed").await?;
            signed
        }
        Err(SealError::Forked(_)) => {
            let latest = unit.stores().latest_checkpoint().await?;
            unit.discard().await?;
            return latest.ok_or_else(|| DomainError::not_found("audit checkpoint", "latest").into());
        }
        Err(error) => {
            unit.discard().await?;
            return Err(DomainError::from(error).into());
        }
    };
    let signed = signed.ok_or_else(|| DomainError::not_found("audit checkpoint", "latest"))?;
    log.keep(&signed).await.map_err(|error| ApiError::internal(&error.to_string()))?;
    Ok(signed)
}

fn day(at: Timestamp) -> String {
    timestamp::to_rfc3339(at).chars().take(10).collect()
}

fn accepts_gzip(header: &str) -> bool {
    header.split(',').any(|coding| {
        let mut parts = coding.trim().split(';');
        let named = parts.next().is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|part| matches!(part.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        named && !refused
    })
}

/// The export on its way to the client, a batch at a time.
struct Streaming {
    export: Export,
    form: Form,
    gzip: Option<GzEncoder<Vec<u8>>>,
    begun: bool,
    account: Account,
}

impl Streaming {
    /// The next octets, and what is left to send.
    async fn pull(this: Option<Self>) -> Option<(Result<Bytes, Error>, Option<Self>)> {
        let mut this = this?;
        let mut text = String::new();
        if !this.begun {
            this.begun = true;
            if this.form == Form::Csv {
                text.push_str(CSV_HEAD);
            }
        }
        let part = async {
            let mut unit = this.account.state.db.read().await?;
            this.export.next(unit.stores()).await
        };
        let outcome = part.await;
        this.account.rows = this.export.rows();
        let ended = match outcome {
            Ok(items) if !items.is_empty() => {
                for item in &items {
                    write_item(this.form, item, &mut text);
                }
                None
            }
            Ok(_) => Some(None),
            Err(error) => {
                tracing::error!(%error, "an export of the audit trail ended early");
                Some(Some("the server could not read the rest".to_owned()))
            }
        };
        let Some(mut error) = ended else {
            return match this.squeeze(&text) {
                Ok(octets) => Some((Ok(octets), Some(this))),
                Err(error) => Some((Err(error.into()), None)),
            };
        };
        // What can't be recorded as taken is not given as complete.
        if let Err(failed) = this.account.settle(error.is_none()).await {
            tracing::error!(error = %failed, "an export of the audit trail could not be recorded");
            error.get_or_insert_with(|| "the export could not be recorded".to_owned());
        }
        write_trailer(this.form, &this.export.trailer(error), &mut text);
        let last = this.squeeze(&text).and_then(|mut octets| {
            if let Some(gzip) = this.gzip.take() {
                octets = [octets, gzip.finish()?.into()].concat().into();
            }
            Ok(octets)
        });
        Some((last.map_err(Error::from), None))
    }

    fn squeeze(&mut self, text: &str) -> std::io::Result<Bytes> {
        match &mut self.gzip {
            None => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Some(gzip) => {
                gzip.write_all(text.as_bytes())?;
                // An empty chunk would end the response, so a batch always leaves something.
                gzip.flush()?;
                Ok(std::mem::take(gzip.get_mut()).into())
            }
        }
    }
}

fn write_item(form: Form, item: &ExportItem, out: &mut String) {
    match (form, item) {
        (Form::Lines, ExportItem::Event(event)) => line(&**event, out),
        (Form::Lines, ExportItem::Skipped(skipped)) => line(&json!({ "_skipped": skipped }), out),
        (Form::Csv, ExportItem::Event(event)) => csv_line(event, out),
        (Form::Csv, ExportItem::Skipped(_)) => {}
    }
}

fn write_trailer(form: Form, trailer: &Trailer, out: &mut String) {
    if form == Form::Csv {
        out.push_str("# ");
    }
    line(&json!({ "_trailer": trailer }), out);
}

fn line(value: &impl serde::Serialize, out: &mut String) {
    // Events and trailers have text keys only, which always become JSON.
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
    out.push('\n');
}

const CSV_HEAD: &str = "seq,timestamp,id,actor,actor_type,action,resource_type,resource_id,event_category,request_id,\
                        source_ip,tenant_id,hash_version,leaf_hash,details\r\n";

/// A line of RFC 4180 under [`CSV_HEAD`].
fn csv_line(event: &ExportLine, out: &mut String) {
    let fields = [
        &event.seq.to_string(),
        &timestamp::to_rfc3339(event.timestamp),
        &event.id,
        &event.actor,
        &event.actor_type,
        &event.action,
        &event.resource_type,
        &event.resource_id,
        &event.event_category,
        &event.request_id,
        event.source_ip.as_deref().unwrap_or_default(),
        &event.tenant_id,
        &event.hash_version.to_string(),
        &event.leaf_hash,
        &event.details.to_string(),
    ];
    for (index, field) in fields.into_iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        out.push('"');
        out.push_str(&field.replace('"', "\"\""));
        out.push('"');
    }
    out.push_str("\r\n");
}

/// Who took what; recorded once, also when the client went away half-way.
struct Account {
    state: Data<AppState>,
    caller: Caller,
    command: ExportCommand,
    form: Form,
    rows: u64,
    settled: bool,
}

impl Account {
    fn event(&self, complete: bool) -> AuditEvent {
        let filter = &self.command.filter;
        let details: Value = json!({
            "from": timestamp::to_rfc3339(filter.since),
            "to": timestamp::to_rfc3339(filter.until),
            "category": filter.category.map(Category::as_str),
            "limit": self.command.limit,
            "format": if self.form == Form::Csv { "csv" } else { "ndjson" },
            "rows": self.rows,
            "complete": complete,
        });
        AuditEvent::new(Action::AuditExport, &self.caller.context, "export", details)
    }

    async fn settle(&mut self, complete: bool) -> Result<(), certctl_kernel::StoreError> {
        self.settled = true;
        let mut unit = self.state.db.begin().await?;
        unit.stores().record(self.event(complete)).await?;
        unit.save().await
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let (state, event) = (self.state.clone(), self.event(false));
        actix_web::rt::spawn(async move { record_alone(&state, event).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_welcome() {
        for (header, wanted) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("identity", false), ("xgzip", false)]
        {
            assert_eq!(accepts_gzip(header), wanted, "{header}");
        }
    }
}
