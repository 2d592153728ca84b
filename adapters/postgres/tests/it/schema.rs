//! Rules that every table keeps, read from the database's own catalogue.

use crate::support::TestDatabase;
use certctl_secrets::SealedColumn;

const WITHOUT_INDEX: &str = "SELECT c.conrelid::regclass || ': ' || c.conname FROM pg_constraint c \
         WHERE c.contype = 'f' AND c.conparentid = 0 AND NOT EXISTS ( \
           SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indisvalid \
             AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey \
             AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) LIKE '%IS NOT NULL%'))";

const TWICE: &str = "SELECT a.indexrelid::regclass || ' = ' || b.indexrelid::regclass FROM pg_index a \
         JOIN pg_index b ON b.indrelid = a.indrelid AND b.indexrelid > a.indexrelid \
           AND b.indkey::text = a.indkey::text AND b.indclass = a.indclass AND b.indoption = a.indoption \
           AND pg_get_expr(b.indexprs, b.indrelid) IS NOT DISTINCT FROM pg_get_expr(a.indexprs, a.indrelid) \
           AND pg_get_expr(b.indpred, b.indrelid) IS NOT DISTINCT FROM pg_get_expr(a.indpred, a.indrelid) \
         JOIN pg_class c ON c.oid = a.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

async fn offenders(db: &TestDatabase, sql: &str) -> Vec<String> {
    db.session().await.query(sql, &[]).await.expect("the catalogue").iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let db = TestDatabase::new().await;
    assert_eq!(offenders(&db, WITHOUT_INDEX).await, Vec::<String>::new());
}

#[tokio::test]
async fn no_index_stands_twice() {
    let db = TestDatabase::new().await;
    assert_eq!(offenders(&db, TWICE).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_state_column_is_checked_and_says_when_it_was_entered() {
    let db = TestDatabase::new().await;
    let states = "SELECT c.oid, c.oid::regclass AS relation, a.attnum, a.attname FROM pg_attribute a \
         JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
         WHERE a.attname IN ('status', 'state') AND a.atttypid = 'text'::regtype AND NOT a.attisdropped";
    let unchecked = format!(
        "SELECT s.relation || '.' || s.attname FROM ({states}) s WHERE NOT EXISTS (SELECT FROM pg_constraint k \
         WHERE k.conrelid = s.oid AND k.contype = 'c' AND s.attnum = ANY(k.conkey))"
    );
    assert_eq!(offenders(&db, &unchecked).await, Vec::<String>::new());
    let unstamped = format!(
        "SELECT s.relation || '.' || s.attname FROM ({states}) s WHERE NOT EXISTS (SELECT FROM pg_attribute a \
         WHERE a.attrelid = s.oid AND a.attname = 'state_entered_at')"
    );
    assert_eq!(offenders(&db, &unstamped).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_id_that_callers_may_choose_is_checked() {
    let db = TestDatabase::new().await;
    let sql = "SELECT c.oid::regclass || '.id' FROM pg_attribute a \
         JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
         WHERE a.attname = 'id' AND a.atttypid = 'text'::regtype \
           AND c.oid::regclass::text NOT IN ('iam.permissions', 'iam.principals') \
           AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' \
             AND pg_get_constraintdef(k.oid) LIKE '%is_public_id(id)%')";
    assert_eq!(offenders(&db, sql).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_rules_notice_who_breaks_them() {
    let db = TestDatabase::new().await;
    db.session()
        .await
        .batch_execute(
            "CREATE TABLE org.a (id text PRIMARY KEY); \
             CREATE TABLE org.b (a_id text CONSTRAINT b_a_id_fkey REFERENCES org.a, x int, y int); \
             CREATE INDEX b_a_id_idx ON org.b (x, a_id); CREATE INDEX b_x_idx ON org.b (x, a_id)",
        )
        .await
        .expect("tables");
    assert_eq!(offenders(&db, WITHOUT_INDEX).await, ["org.b: b_a_id_fkey"]);
    assert_eq!(offenders(&db, TWICE).await, ["org.b_a_id_idx = org.b_x_idx"]);
}

/// Octets that anybody may read: certificates, CRLs, hashes and signatures.
const PUBLIC_OCTETS: &[&str] = &[
    "audit.checkpoints.root_hash",
    "audit.log.leaf_hash",
    "audit.nodes.hash",
    "audit.verifications.frontier",
    "audit.verifications.root_hash",
    "ca.ca_certificates.cert_der",
    "inventory.orphan_issuances.der",
    "status.crls.crl_der",
    "status.ocsp_responders.cert_der",
];

#[tokio::test]
async fn every_octet_column_is_known_to_be_sealed_or_known_to_be_public() {
    let db = TestDatabase::new().await;
    let columns = "SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a \
         JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
         WHERE a.atttypid IN ('bytea'::regtype, 'bytea[]'::regtype) AND NOT a.attisdropped AND a.attnum > 0 ORDER BY 1";
    let mut known: Vec<String> = PUBLIC_OCTETS.iter().map(ToString::to_string).collect();
    known.extend(SealedColumn::ALL.iter().map(ToString::to_string));
    known.sort_unstable();
    assert_eq!(offenders(&db, columns).await, known, "a sealed column belongs into SealedColumn::ALL");
    let hidden = "SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a \
         JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
         WHERE a.attname ~ '(^sealed|_sealed$|_enc$|_encrypted$)' AND a.atttypid <> 'bytea'::regtype";
    assert_eq!(offenders(&db, hidden).await, Vec::<String>::new(), "sealed values are octets");
}
