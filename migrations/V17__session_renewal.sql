-- A session gets another id when what its actor may do changes, so that an id captured before is worth nothing soon
-- after. The browser learns it with its next request; the old id is good for moments more, for requests on their way.
ALTER TABLE iam.sessions
    ADD COLUMN renew boolean NOT NULL DEFAULT false,
    ADD COLUMN replaced_at timestamptz,
    ADD COLUMN replaced_by text
        CONSTRAINT sessions_replaced_by_fkey REFERENCES iam.sessions ON DELETE SET NULL,
    ADD CONSTRAINT sessions_replaced_check CHECK (replaced_by IS NULL OR replaced_at IS NOT NULL);
CREATE INDEX sessions_replaced_by_idx ON iam.sessions (replaced_by) WHERE replaced_by IS NOT NULL;

DROP TRIGGER sessions_access_changed ON iam.sessions;
CREATE TRIGGER sessions_access_changed AFTER UPDATE ON iam.sessions
    FOR EACH ROW WHEN ((OLD.revoked_at, OLD.csrf_epoch, OLD.replaced_at)
        IS DISTINCT FROM (NEW.revoked_at, NEW.csrf_epoch, NEW.replaced_at))
    EXECUTE FUNCTION iam.access_changed();
