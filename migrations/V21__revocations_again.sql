-- A hold that was lifted stays in the table with its end; the version may be revoked again after it.
DROP INDEX status.revocations_version_id_key;
DROP INDEX status.revocations_serial_number_key;
CREATE UNIQUE INDEX revocations_version_id_key ON status.revocations (version_id) WHERE removed_at IS NULL;
CREATE UNIQUE INDEX revocations_serial_number_key ON status.revocations (issuer_id, serial_number) WHERE removed_at IS NULL;
-- Every foreign key has an index over all rows, lifted ones included.
CREATE INDEX revocations_version_id_idx ON status.revocations (version_id);
CREATE INDEX revocations_issuer_id_idx ON status.revocations (issuer_id);
