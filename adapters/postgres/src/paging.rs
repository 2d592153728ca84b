//! Lists: filters, keyset and count in one statement, so that rows and total come from one snapshot.

use crate::unit_of_work::PgUnitOfWork;
use certctl_kernel::{Cursor, ListQuery, Page, StoreError, Timestamp, timestamp};
use certctl_rbac::Scope;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The key's text for rows that have no instant: it sorts after all that do.
const NEVER: &str = "infinity";

/// A part of a name or id as a pattern of `ILIKE`, taken literally.
pub(crate) fn containing(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// Scopes as texts that a statement compares with a certificate's issuer and profile.
pub(crate) fn scope_keys(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().filter_map(|scope| scope.id().map(|id| format!("{}:{id}", scope.kind().as_str()))).collect()
}

/// An instant as a cursor's key.
pub(crate) fn key_of(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), timestamp::to_rfc3339)
}

struct Clause<'a> {
    condition: &'static str,
    kind: &'static str,
    value: Box<dyn ToSql + Sync + Send + 'a>,
    present: bool,
}

/// The filters that a list knows, set or not.
#[derive(Default)]
pub(crate) struct Filters<'a>(Vec<Clause<'a>>);

impl<'a> Filters<'a> {
    /// Adds `condition`, in which `?` stands for the value of SQL type `kind`; an absent value filters nothing.
    pub(crate) fn with<T>(mut self, condition: &'static str, kind: &'static str, value: Option<T>) -> Self
    where
        Option<T>: ToSql + Sync + Send + 'a,
    {
        let present = value.is_some();
        self.0.push(Clause { condition, kind, value: Box::new(value), present });
        self
    }

    /// The conditions and their parameters. With one filter the statement names only that, so that its index serves;
    /// with several, one statement serves every combination, which bounds how many each connection prepares.
    pub(crate) fn render(&self) -> (String, Vec<&(dyn ToSql + Sync)>) {
        let present = self.0.iter().filter(|clause| clause.present).count();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
        let mut conditions = vec!["true".to_owned()];
        for clause in self.0.iter().filter(|clause| clause.present || present > 1) {
            parameters.push(clause.value.as_ref());
            let parameter = format!("${}::{}", parameters.len(), clause.kind);
            let condition = clause.condition.replace('?', &parameter);
            conditions.push(if present > 1 { format!("({parameter} IS NULL OR {condition})") } else { condition });
        }
        (conditions.join(" AND "), parameters)
    }
}

/// What a keyset is made of.
#[derive(Clone, Copy)]
pub(crate) enum KeyKind {
    /// An instant.
    Time,
    /// A number.
    Number,
    /// Text.
    Text,
}

/// A list in one of its orders.
pub(crate) struct ListSql<'a> {
    /// Columns of a row, as its reader expects them.
    pub(crate) columns: &'a str,
    /// Relation with its alias, which is neither `k` nor `n`.
    pub(crate) from: &'a str,
    /// The sort key; never null.
    pub(crate) key: &'a str,
    /// Its kind.
    pub(crate) kind: KeyKind,
    /// The tie-breaker.
    pub(crate) id: &'a str,
    /// Largest first.
    pub(crate) descending: bool,
}

impl PgUnitOfWork {
    /// Reads a page. `position` gives a row's sort key, as text, and id.
    pub(crate) async fn page<T>(
        &self,
        sql: &ListSql<'_>,
        filters: &Filters<'_>,
        fingerprint: String,
        list: &ListQuery,
        read: fn(&Row) -> Result<T, StoreError>,
        position: impl Fn(&T) -> (String, String),
    ) -> Result<Page<T>, StoreError> {
        let (conditions, mut parameters) = filters.render();
        let (direction, comparison) = if sql.descending { ("DESC", "<") } else { ("ASC", ">") };
        let cursor = list.cursor.as_ref().map(|cursor| checked(cursor, sql.kind)).transpose()?;
        let keyset = cursor.as_ref().map_or_else(String::new, |(key, id)| {
            parameters.push(key);
            parameters.push(id);
            let cast = match sql.kind {
                KeyKind::Time => "::text::timestamptz",
                KeyKind::Number => "::text::bigint",
                KeyKind::Text => "::text",
            };
            let at = parameters.len();
            format!(" AND ({}, {}) {comparison} (${}{cast}, ${at})", sql.key, sql.id, at - 1)
        });
        // One row more than asked tells whether another page follows.
        let (wanted, offset) = (list.limit() + 1, list.offset());
        parameters.push(&wanted);
        parameters.push(&offset);
        // The keys of the page first, then its rows: what a column costs is paid for the page only.
        let statement = format!(
            "SELECT {columns}, k.sort_id, n.total FROM (SELECT count(*) AS total FROM {from} WHERE {conditions}) n \
             LEFT JOIN (SELECT {key} AS sort_key, {id} AS sort_id FROM {from} WHERE {conditions}{keyset} \
               ORDER BY {key} {direction}, {id} {direction} LIMIT ${limit} OFFSET ${offset}) k ON true \
             LEFT JOIN {from} ON {id} = k.sort_id ORDER BY k.sort_key {direction}, k.sort_id {direction}",
            columns = sql.columns,
            from = sql.from,
            key = sql.key,
            id = sql.id,
            limit = parameters.len() - 1,
            offset = parameters.len(),
        );
        let rows = self.query(&statement, &parameters).await?;
        let total = rows.first().map_or(0, |row| row.get(row.len() - 1));
        let mut out = rows
            .iter()
            .filter(|row| row.get::<_, Option<&str>>(row.len() - 2).is_some())
            .map(read)
            .collect::<Result<Vec<T>, StoreError>>()?;
        let size = usize::try_from(list.per_page).unwrap_or(usize::MAX);
        let next = (out.len() > size).then(|| {
            out.truncate(size);
            out.last().map(|row| {
                let (key, id) = position(row);
                Cursor { key, id, filter_hash: fingerprint }
            })
        });
        Ok(Page { rows: out, total, next: next.flatten() })
    }
}

/// A forged cursor may hold anything; what the database could not read as an instant is refused here.
fn checked(cursor: &Cursor, kind: KeyKind) -> Result<(String, String), StoreError> {
    let damaged = || StoreError::CheckFailed { constraint: "cursor".to_owned() };
    if cursor.key.contains('\0') || cursor.id.contains('\0') {
        return Err(damaged());
    }
    let key = match kind {
        KeyKind::Text => cursor.key.clone(),
        KeyKind::Number => cursor.key.parse::<i64>().map_err(|_| damaged())?.to_string(),
        KeyKind::Time if cursor.key == NEVER => NEVER.to_owned(),
        KeyKind::Time => {
            let at = cursor.key_timestamp().map_err(|_| damaged())?;
            if at.year() < 1 {
                return Err(damaged());
            }
            timestamp::to_rfc3339(at)
        }
    };
    Ok((key, cursor.id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(name: Option<&str>, size: Option<i32>) -> Filters<'_> {
        Filters::default().with("name = ?", "text", name).with("size > ?", "integer", size)
    }

    #[test]
    fn absent_filters_leave_no_trace_unless_several_are_set() {
        assert_eq!(filters(None, None).render().0, "true");
        assert_eq!(filters(None, Some(3)).render().0, "true AND size > $1::integer");
        assert_eq!(
            filters(Some("x"), Some(3)).render().0,
            "true AND ($1::text IS NULL OR name = $1::text) AND ($2::integer IS NULL OR size > $2::integer)"
        );
    }

    #[test]
    fn wildcards_in_a_search_are_literal() {
        assert_eq!(containing(r"50%_\"), r"%50\%\_\\%");
    }

    #[test]
    fn a_forged_cursor_is_refused() {
        let cursor = |key: &str| Cursor { key: key.into(), id: "x".into(), filter_hash: String::new() };
        for key in ["", "now", "yesterday", "0000-01-01T00:00:00Z", "infinity'"] {
            assert!(checked(&cursor(key), KeyKind::Time).is_err(), "{key}");
        }
        assert!(checked(&cursor("2026-01-01T00:00:00.000001Z"), KeyKind::Time).is_ok());
        assert!(checked(&cursor("infinity"), KeyKind::Time).is_ok());
    }
}
