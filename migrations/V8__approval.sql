-- Two-person approval: requests that a second person decides, what was said about them, and who was told.

-- The person who holds a key. There is no reference to a table of users yet: the id is the user's, and before people
-- sign in it is whatever name the operators give each other. It is lower case, so that no person is two by spelling.
ALTER TABLE iam.api_keys ADD COLUMN owner_user_id text
    CONSTRAINT api_keys_owner_user_id_check CHECK (owner_user_id ~ '^[a-z0-9][a-z0-9._@+-]{0,127}$');

CREATE SCHEMA approval;

CREATE TABLE approval.requests (
    id text CONSTRAINT requests_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    kind text NOT NULL CONSTRAINT requests_kind_check CHECK (kind IN ('cert_issuance', 'profile_edit')),
    certificate_id text
        CONSTRAINT requests_certificate_id_fkey REFERENCES inventory.certificates (id) ON DELETE RESTRICT,
    -- The job that waits for the decision; an operator's own certificate request has none.
    job_id text CONSTRAINT requests_job_id_fkey REFERENCES work.jobs (id) ON DELETE SET NULL,
    profile_id text NOT NULL
        CONSTRAINT requests_profile_id_fkey REFERENCES policy.certificate_profiles (id) ON DELETE RESTRICT,
    requested_by text NOT NULL,
    requested_by_type text NOT NULL,
    requested_by_person text,
    state text NOT NULL DEFAULT 'pending' CONSTRAINT requests_state_check
        CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'withdrawn')),
    state_entered_at timestamptz NOT NULL,
    decided_by text,
    decided_by_type text,
    decided_by_person text,
    decided_at timestamptz,
    decision_note text,
    metadata jsonb NOT NULL DEFAULT '{}' CONSTRAINT requests_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    -- What is to be approved: the certificate's facts, or the profile as it is to be.
    payload jsonb NOT NULL CONSTRAINT requests_payload_check CHECK (jsonb_typeof(payload) = 'object'),
    -- The profile as it was when the change was asked for.
    base jsonb CONSTRAINT requests_base_check CHECK (jsonb_typeof(base) = 'object'),
    base_version bigint,
    -- The one key that may be certified, where it is known already.
    spki_sha256 text CONSTRAINT requests_spki_sha256_check CHECK (spki_sha256 ~ '^[0-9a-f]{64}$'),
    -- While pending: until when it can be decided; once approved: until when the approval can be used.
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    consumed_version_id text CONSTRAINT requests_consumed_version_id_fkey
        REFERENCES inventory.certificate_versions (id) ON DELETE RESTRICT,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT requests_decided_at_check CHECK ((state = 'pending') = (decided_at IS NULL)),
    CONSTRAINT requests_decided_by_check
        CHECK ((decided_at IS NULL) = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_by_type IS NULL)),
    -- Two persons, whatever the credentials; only the product itself decides without being one.
    CONSTRAINT requests_two_persons_check CHECK (state NOT IN ('approved', 'rejected')
        OR (decided_by_type = 'System' AND decided_by = 'system-bypass')
        OR (decided_by_person IS NOT NULL AND decided_by_person IS DISTINCT FROM requested_by_person
            AND (decided_by, decided_by_type) IS DISTINCT FROM (requested_by, requested_by_type))),
    CONSTRAINT requests_expired_check CHECK (state <> 'expired' OR decided_by_type = 'System'),
    CONSTRAINT requests_consumed_check CHECK (consumed_at IS NULL OR (state = 'approved' AND kind = 'cert_issuance')),
    CONSTRAINT requests_consumed_version_id_check CHECK ((consumed_at IS NULL) = (consumed_version_id IS NULL)),
    CONSTRAINT requests_cert_issuance_check CHECK (kind <> 'cert_issuance' OR certificate_id IS NOT NULL),
    CONSTRAINT requests_profile_edit_check
        CHECK ((kind = 'profile_edit') = (base IS NOT NULL) AND (base IS NULL) = (base_version IS NULL))
);
CREATE UNIQUE INDEX requests_pending_job_key ON approval.requests (job_id) WHERE state = 'pending';
CREATE UNIQUE INDEX requests_pending_certificate_key ON approval.requests (certificate_id)
    WHERE state = 'pending' AND kind = 'cert_issuance';
CREATE UNIQUE INDEX requests_pending_profile_key ON approval.requests (profile_id)
    WHERE state = 'pending' AND kind = 'profile_edit';
CREATE UNIQUE INDEX requests_consumed_version_id_key ON approval.requests (consumed_version_id)
    WHERE consumed_version_id IS NOT NULL;
CREATE INDEX requests_job_id_idx ON approval.requests (job_id);
CREATE INDEX requests_certificate_id_idx ON approval.requests (certificate_id, created_at DESC);
CREATE INDEX requests_profile_id_idx ON approval.requests (profile_id, created_at DESC);
CREATE INDEX requests_created_at_idx ON approval.requests (created_at, id);
CREATE INDEX requests_expires_at_idx ON approval.requests (expires_at) WHERE state = 'pending';

-- What was decided stays as it is, beside the one use of an approval; and no request is ever removed.
CREATE FUNCTION approval.keep_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- A purged job leaves its request behind.
    free text[] := '{job_id}';
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'approval request % is kept with the audit trail', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.consumed_at IS NULL THEN
        free := free || '{consumed_at,consumed_version_id,row_version,updated_at}';
    END IF;
    IF OLD.state <> 'pending' AND to_jsonb(OLD) - free IS DISTINCT FROM to_jsonb(NEW) - free THEN
        RAISE EXCEPTION 'approval request % is decided', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER requests_kept BEFORE UPDATE OR DELETE ON approval.requests
    FOR EACH ROW EXECUTE FUNCTION approval.keep_decisions();

CREATE TABLE approval.comments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id text NOT NULL
        CONSTRAINT comments_request_id_fkey REFERENCES approval.requests (id) ON DELETE RESTRICT,
    author text NOT NULL,
    author_type text NOT NULL,
    text text NOT NULL CONSTRAINT comments_text_check CHECK (length(text) BETWEEN 1 AND 2000),
    at timestamptz NOT NULL
);
CREATE INDEX comments_request_id_idx ON approval.comments (request_id, id);

-- What approvers and requesters are to be told, written with the change it tells of. Whoever delivers takes rows in the
-- order of their numbers and marks them; a notification on the channel `certctl` wakes it.
CREATE TABLE approval.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id text NOT NULL CONSTRAINT outbox_request_id_fkey REFERENCES approval.requests (id) ON DELETE RESTRICT,
    event text NOT NULL CONSTRAINT outbox_event_check CHECK (
        event IN ('requested', 'approved', 'rejected', 'expired', 'bypassed', 'withdrawn', 'commented')),
    at timestamptz NOT NULL,
    taken_at timestamptz
);
CREATE INDEX outbox_request_id_idx ON approval.outbox (request_id);
CREATE INDEX outbox_taken_at_idx ON approval.outbox (id) WHERE taken_at IS NULL;
