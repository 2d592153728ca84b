-- Agents, the targets they serve, and the work queue.

CREATE TABLE fleet.agents (
    id text CONSTRAINT agents_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    hostname text NOT NULL,
    os text NOT NULL DEFAULT '',
    architecture text NOT NULL DEFAULT '',
    ip_address text NOT NULL DEFAULT '',
    version text NOT NULL DEFAULT '',
    registered_at timestamptz NOT NULL,
    retired_at timestamptz,
    retired_reason text,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT agents_retired_reason_check CHECK (retired_at IS NOT NULL OR retired_reason IS NULL)
);
-- A retired agent's name can be used again.
CREATE UNIQUE INDEX agents_name_key ON fleet.agents (tenant_id, lower(name)) WHERE retired_at IS NULL;
CREATE INDEX agents_registered_at_idx ON fleet.agents (registered_at, id);
CREATE INDEX agents_retired_at_idx ON fleet.agents (retired_at, id) WHERE retired_at IS NOT NULL;

-- One narrow row an agent, rewritten every minute. It has no index besides its key and leaves room on its pages, so
-- that an update stays on its page and touches no index; the sweep reads the whole table, which is small.
CREATE TABLE fleet.agent_heartbeats (
    agent_id text PRIMARY KEY
        CONSTRAINT agent_heartbeats_agent_id_fkey REFERENCES fleet.agents (id) ON DELETE CASCADE,
    status text NOT NULL CONSTRAINT agent_heartbeats_status_check CHECK (status IN ('Online', 'Offline', 'Degraded')),
    state_entered_at timestamptz NOT NULL,
    last_heartbeat_at timestamptz
) WITH (fillfactor = 70);

CREATE TABLE fleet.targets (
    id text CONSTRAINT targets_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    -- Open set: connectors name their own types.
    type text NOT NULL,
    agent_id text NOT NULL CONSTRAINT targets_agent_id_fkey REFERENCES fleet.agents (id) ON DELETE RESTRICT,
    -- Non-secret members only; the secret ones are in sealed_config.
    config jsonb NOT NULL DEFAULT '{}' CONSTRAINT targets_config_check CHECK (jsonb_typeof(config) = 'object'),
    sealed_config bytea,
    config_version bigint NOT NULL DEFAULT 1,
    enabled boolean NOT NULL DEFAULT true,
    last_tested_at timestamptz,
    test_status text NOT NULL DEFAULT 'untested'
        CONSTRAINT targets_test_status_check CHECK (test_status IN ('untested', 'success', 'failed')),
    source text NOT NULL DEFAULT 'database' CONSTRAINT targets_source_check CHECK (source IN ('database', 'env')),
    retired_at timestamptz,
    retired_reason text,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT targets_retired_reason_check CHECK (retired_at IS NOT NULL OR retired_reason IS NULL)
);
CREATE UNIQUE INDEX targets_name_key ON fleet.targets (agent_id, lower(name)) WHERE retired_at IS NULL;
CREATE INDEX targets_agent_id_idx ON fleet.targets (agent_id);
CREATE INDEX targets_created_at_idx ON fleet.targets (created_at, id);

CREATE TABLE work.jobs (
    id text CONSTRAINT jobs_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    type text NOT NULL
        CONSTRAINT jobs_type_check CHECK (type IN ('Issuance', 'Renewal', 'Deployment', 'Validation')),
    certificate_id text NOT NULL
        CONSTRAINT jobs_certificate_id_fkey REFERENCES inventory.certificates (id) ON DELETE RESTRICT,
    version_id text CONSTRAINT jobs_version_id_fkey REFERENCES inventory.certificate_versions (id) ON DELETE RESTRICT,
    target_id text CONSTRAINT jobs_target_id_fkey REFERENCES fleet.targets (id) ON DELETE RESTRICT,
    agent_id text CONSTRAINT jobs_agent_id_fkey REFERENCES fleet.agents (id) ON DELETE RESTRICT,
    executor text NOT NULL CONSTRAINT jobs_executor_check CHECK (executor IN ('server', 'agent')),
    status text NOT NULL CONSTRAINT jobs_status_check CHECK (status IN (
        'Pending', 'AwaitingCSR', 'AwaitingApproval', 'Running', 'Completed', 'Failed', 'Cancelled')),
    state_entered_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL CONSTRAINT jobs_max_attempts_check CHECK (max_attempts >= 1),
    last_error text,
    error_class text CONSTRAINT jobs_error_class_check
        CHECK (error_class IN ('transient', 'permanent', 'timeout', 'abandoned')),
    -- Of a failed job: another attempt follows at scheduled_at.
    retryable boolean NOT NULL DEFAULT false,
    scheduled_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    -- Who runs it, until when. A waiting request has only the time: until then the agent in agent_id is at it.
    lease_owner text,
    lease_expires_at timestamptz,
    priority smallint NOT NULL DEFAULT 0,
    requested_by text NOT NULL,
    trigger text NOT NULL CONSTRAINT jobs_trigger_check
        CHECK (trigger IN ('manual', 'schedule', 'ari', 'bulk', 'acme', 'est', 'scep', 'issuance')),
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    CONSTRAINT jobs_attempts_check CHECK (attempts BETWEEN 0 AND max_attempts),
    CONSTRAINT jobs_lease_owner_check CHECK ((status = 'Running') = (lease_owner IS NOT NULL)),
    CONSTRAINT jobs_lease_expires_at_check CHECK (lease_owner IS NULL OR lease_expires_at IS NOT NULL),
    CONSTRAINT jobs_target_id_check CHECK ((type = 'Deployment') = (target_id IS NOT NULL)),
    CONSTRAINT jobs_agent_id_check CHECK (executor <> 'agent' OR agent_id IS NOT NULL OR type IN ('Issuance', 'Renewal')),
    CONSTRAINT jobs_retryable_check CHECK (NOT retryable OR (status = 'Failed' AND attempts < max_attempts)),
    CONSTRAINT jobs_completed_at_check CHECK (
        (completed_at IS NOT NULL) = (status IN ('Completed', 'Cancelled') OR (status = 'Failed' AND NOT retryable)))
);
-- One request a certificate and one deployment a certificate and target, counting those that will be tried again.
CREATE UNIQUE INDEX jobs_certificate_id_key ON work.jobs (certificate_id)
    WHERE type IN ('Issuance', 'Renewal') AND completed_at IS NULL;
CREATE UNIQUE INDEX jobs_target_id_key ON work.jobs (target_id, certificate_id)
    WHERE type = 'Deployment' AND completed_at IS NULL;
CREATE INDEX jobs_due_idx ON work.jobs (executor, agent_id, scheduled_at, id) WHERE status = 'Pending';
CREATE INDEX jobs_lease_expires_at_idx ON work.jobs (lease_expires_at) WHERE status = 'Running';
CREATE INDEX jobs_waiting_idx ON work.jobs (state_entered_at) WHERE status IN ('AwaitingCSR', 'AwaitingApproval');
CREATE INDEX jobs_retry_idx ON work.jobs (scheduled_at) WHERE retryable;
CREATE INDEX jobs_created_at_idx ON work.jobs (created_at, id);
CREATE INDEX jobs_certificate_id_idx ON work.jobs (certificate_id, created_at DESC);
CREATE INDEX jobs_status_idx ON work.jobs (status, type, created_at DESC, id);
CREATE INDEX jobs_target_id_idx ON work.jobs (target_id, created_at DESC);
CREATE INDEX jobs_agent_id_idx ON work.jobs (agent_id);
CREATE INDEX jobs_version_id_idx ON work.jobs (version_id);

-- History, written by the table itself so that no move goes untold.
CREATE TABLE work.job_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id text NOT NULL CONSTRAINT job_events_job_id_fkey REFERENCES work.jobs (id) ON DELETE CASCADE,
    at timestamptz NOT NULL,
    from_status text,
    to_status text NOT NULL,
    -- Who held the lease; people are named by the audit trail.
    actor text,
    attempt integer NOT NULL,
    detail text
);
CREATE INDEX job_events_job_id_idx ON work.job_events (job_id, id);

CREATE FUNCTION work.note_job_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO work.job_events (job_id, at, from_status, to_status, actor, attempt, detail)
    VALUES (NEW.id, NEW.state_entered_at, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status,
        coalesce(NEW.lease_owner, CASE WHEN TG_OP = 'UPDATE' THEN OLD.lease_owner END),
        NEW.attempts, NEW.last_error);
    RETURN NULL;
END;
$$;
CREATE TRIGGER jobs_made AFTER INSERT ON work.jobs FOR EACH ROW EXECUTE FUNCTION work.note_job_event();
CREATE TRIGGER jobs_moved AFTER UPDATE OF status ON work.jobs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION work.note_job_event();

CREATE TABLE work.job_verifications (
    id text CONSTRAINT job_verifications_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    job_id text NOT NULL CONSTRAINT job_verifications_job_id_fkey REFERENCES work.jobs (id) ON DELETE CASCADE,
    at timestamptz NOT NULL,
    result text NOT NULL CONSTRAINT job_verifications_result_check CHECK (result IN ('success', 'failed')),
    expected_fingerprint text NOT NULL,
    fingerprint text NOT NULL,
    error text
);
CREATE INDEX job_verifications_job_id_idx ON work.job_verifications (job_id, at DESC, id DESC);

CREATE TABLE work.deployments (
    id text CONSTRAINT deployments_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    job_id text NOT NULL CONSTRAINT deployments_job_id_fkey REFERENCES work.jobs (id) ON DELETE RESTRICT,
    certificate_id text NOT NULL
        CONSTRAINT deployments_certificate_id_fkey REFERENCES inventory.certificates (id) ON DELETE RESTRICT,
    version_id text
        CONSTRAINT deployments_version_id_fkey REFERENCES inventory.certificate_versions (id) ON DELETE RESTRICT,
    target_id text NOT NULL CONSTRAINT deployments_target_id_fkey REFERENCES fleet.targets (id) ON DELETE RESTRICT,
    agent_id text NOT NULL CONSTRAINT deployments_agent_id_fkey REFERENCES fleet.agents (id) ON DELETE RESTRICT,
    outcome text NOT NULL,
    verified boolean NOT NULL,
    steps jsonb NOT NULL DEFAULT '[]' CONSTRAINT deployments_steps_check CHECK (jsonb_typeof(steps) = 'array'),
    old_fingerprint text,
    new_fingerprint text,
    served_fingerprint text,
    target_address text,
    error text,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX deployments_job_id_key ON work.deployments (job_id);
CREATE INDEX deployments_certificate_id_idx ON work.deployments (certificate_id, target_id, finished_at DESC);
CREATE INDEX deployments_version_id_idx ON work.deployments (version_id);
CREATE INDEX deployments_target_id_idx ON work.deployments (target_id, finished_at DESC);
CREATE INDEX deployments_agent_id_idx ON work.deployments (agent_id);

-- What should stand on which target, and what was seen there.
CREATE TABLE inventory.certificate_targets (
    certificate_id text NOT NULL
        CONSTRAINT certificate_targets_certificate_id_fkey REFERENCES inventory.certificates (id) ON DELETE CASCADE,
    target_id text NOT NULL
        CONSTRAINT certificate_targets_target_id_fkey REFERENCES fleet.targets (id) ON DELETE RESTRICT,
    options jsonb NOT NULL DEFAULT '{}' CONSTRAINT certificate_targets_options_check CHECK (jsonb_typeof(options) = 'object'),
    desired_version_id text CONSTRAINT certificate_targets_desired_version_id_fkey
        REFERENCES inventory.certificate_versions (id) ON DELETE RESTRICT,
    deployed_version_id text CONSTRAINT certificate_targets_deployed_version_id_fkey
        REFERENCES inventory.certificate_versions (id) ON DELETE RESTRICT,
    deployed_at timestamptz,
    verified_at timestamptz,
    observed_fingerprint text,
    state text NOT NULL CONSTRAINT certificate_targets_state_check
        CHECK (state IN ('pending', 'deploying', 'deployed', 'verified', 'drifted', 'failed')),
    state_entered_at timestamptz NOT NULL,
    last_error text,
    last_job_id text CONSTRAINT certificate_targets_last_job_id_fkey REFERENCES work.jobs (id) ON DELETE SET NULL,
    PRIMARY KEY (certificate_id, target_id)
);
CREATE INDEX certificate_targets_target_id_idx ON inventory.certificate_targets (target_id);
CREATE INDEX certificate_targets_desired_version_id_idx ON inventory.certificate_targets (desired_version_id);
CREATE INDEX certificate_targets_deployed_version_id_idx ON inventory.certificate_targets (deployed_version_id);
CREATE INDEX certificate_targets_last_job_id_idx ON inventory.certificate_targets (last_job_id);
