//! Reading the trail by numbers of the log.

use crate::audit::{COLUMNS, record};
use crate::audit_log::{LEAF, leaf, number, unsigned};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_audit::{AuditRecord, Category};
use certctl_audit_log::{ExportFilter, ExportStore, Leaf};
use certctl_kernel::StoreError;

#[async_trait]
impl ExportStore for PgUnitOfWork {
    async fn seq_range(&mut self, filter: &ExportFilter, size: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let row = self
            .query_one(
                "SELECT min(seq), max(seq) FROM audit.log WHERE event_at >= $1 AND event_at <= $2 AND seq < $3",
                &[&filter.since, &filter.until, &number(size)],
            )
            .await?;
        Ok(row.get::<_, Option<i64>>(0).map(|_| (unsigned(&row, 0), unsigned(&row, 1))))
    }

    async fn export_rows(
        &mut self,
        filter: &ExportFilter,
        range: (u64, u64),
        limit: i64,
        all: bool,
    ) -> Result<Vec<(Leaf, Option<AuditRecord>)>, StoreError> {
        let columns = COLUMNS.replace(", ", ", e.");
        let passes = "e.at = l.event_at AND e.insert_id = l.insert_id AND e.at >= $1 AND e.at <= $2 \
             AND ($3::text IS NULL OR e.category = $3)";
        // Where every leaf is wanted the span of leaves is cut first; else it is cut by the events that pass.
        let sql = if all {
            format!(
                "SELECT e.{columns}, {LEAF} FROM (SELECT * FROM audit.log WHERE seq >= $4 AND seq < $5 \
                 ORDER BY seq LIMIT $6) l LEFT JOIN audit.events e ON {passes} ORDER BY l.seq"
            )
        } else {
            format!(
                "SELECT e.{columns}, {LEAF} FROM audit.log l JOIN audit.events e ON {passes} \
                 WHERE l.seq >= $4 AND l.seq < $5 ORDER BY l.seq LIMIT $6"
            )
        };
        let category = filter.category.map(Category::as_str);
        let (from, until) = (number(range.0), number(range.1));
        let rows = self.query(&sql, &[&filter.since, &filter.until, &category, &from, &until, &limit]).await?;
        rows.iter()
            .map(|row| {
                let there = row.get::<_, Option<&str>>(0).is_some();
                Ok((leaf(row, row.len() - 6)?, there.then(|| record(row))))
            })
            .collect()
    }
}
