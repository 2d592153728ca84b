-- A key that is switched off can come back, one that was deleted can't; until now both looked alike, and only deleting
-- was offered for keys that are not of the environment.
ALTER TABLE iam.api_keys ADD COLUMN revoked_at timestamptz;
UPDATE iam.api_keys SET revoked_at = disabled_at WHERE source <> 'env';
ALTER TABLE iam.api_keys ADD CONSTRAINT api_keys_revoked_at_check CHECK (revoked_at IS NULL OR disabled_at IS NOT NULL);
-- Whether the trail tells that the key ended by itself.
ALTER TABLE iam.api_keys ADD COLUMN end_told_at timestamptz;
CREATE INDEX api_keys_ending_idx ON iam.api_keys (least(expires_at, overlap_until))
    WHERE end_told_at IS NULL AND disabled_at IS NULL AND (expires_at IS NOT NULL OR overlap_until IS NOT NULL);
