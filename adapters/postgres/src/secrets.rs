//! Sealed values as octets.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::StoreError;
use certctl_ports::{KeyId, SEALED_HEAD, SealedForm};
use certctl_secrets::{SealedCell, SealedColumn, SealedCount, SecretStore};

/// How a row of the column is named in its cell.
fn row_id(column: SealedColumn) -> &'static str {
    if column == SealedColumn::RESPONDER_KEY { "(ca_id || '/' || generation)" } else { "id" }
}

/// How a blob of this product under `key` begins.
fn head(key: KeyId) -> Vec<u8> {
    [&[4], key.0.as_slice()].concat()
}

#[async_trait]
impl SecretStore for PgUnitOfWork {
    async fn sealed_counts(&mut self) -> Result<Vec<SealedCount>, StoreError> {
        let parts: Vec<String> = SealedColumn::ALL
            .iter()
            .enumerate()
            .map(|(place, SealedColumn { table, column })| {
                format!(
                    "SELECT {place} AS place, substring({column} FROM 1 FOR {SEALED_HEAD}) AS head, count(*) \
                     FROM {table} WHERE {column} IS NOT NULL GROUP BY head"
                )
            })
            .collect();
        let rows = self.query(&format!("{} ORDER BY place, head", parts.join(" UNION ALL ")), &[]).await?;
        let mut counts: Vec<SealedCount> = Vec::new();
        for row in rows {
            let place = usize::try_from(row.get::<_, i32>(0)).unwrap_or_default();
            let (column, form) = (SealedColumn::ALL[place], SealedForm::of(row.get(1)));
            // Blobs without a key's name differ in these octets, and are one form all the same.
            match counts.iter_mut().find(|known| known.column == column && known.form == form) {
                Some(known) => known.blobs += row.get::<_, i64>(2),
                None => counts.push(SealedCount { column, form, blobs: row.get(2) }),
            }
        }
        Ok(counts)
    }

    async fn sealed_under_others(
        &mut self,
        column: SealedColumn,
        key: KeyId,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SealedCell>, StoreError> {
        let (SealedColumn { table, column }, id) = (column, row_id(column));
        let sql = format!(
            "SELECT {id} AS row_id, {column} FROM {table} WHERE {column} IS NOT NULL \
               AND substring({column} FROM 1 FOR {SEALED_HEAD}) <> $1 AND {id} COLLATE \"C\" > $2 \
             ORDER BY {id} COLLATE \"C\" LIMIT $3"
        );
        let rows = self.query(&sql, &[&head(key), &after, &limit]).await?;
        Ok(rows.iter().map(|row| SealedCell { row_id: row.get(0), blob: row.get(1) }).collect())
    }

    async fn sealed_sample(&mut self, column: SealedColumn, key: KeyId) -> Result<Option<SealedCell>, StoreError> {
        let (SealedColumn { table, column }, id) = (column, row_id(column));
        let sql = format!(
            "SELECT {id} AS row_id, {column} FROM {table} \
             WHERE substring({column} FROM 1 FOR {SEALED_HEAD}) = $1 ORDER BY {id} LIMIT 1"
        );
        let row = self.query_opt(&sql, &[&head(key)]).await?;
        Ok(row.map(|row| SealedCell { row_id: row.get(0), blob: row.get(1) }))
    }

    async fn replace_sealed(
        &mut self,
        column: SealedColumn,
        row: &str,
        old: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError> {
        let (SealedColumn { table, column }, id) = (column, row_id(column));
        let sql = format!("UPDATE {table} SET {column} = $3 WHERE {id} = $1 AND {column} = $2");
        Ok(self.execute(&sql, &[&row, &old, &new]).await? == 1)
    }
}
