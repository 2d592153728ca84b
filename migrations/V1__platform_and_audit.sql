-- One SQL schema a context. Every later migration relies on these names.
CREATE SCHEMA platform;
CREATE SCHEMA audit;
CREATE SCHEMA iam;
CREATE SCHEMA org;
CREATE SCHEMA policy;
CREATE SCHEMA ca;
CREATE SCHEMA inventory;
CREATE SCHEMA status;
CREATE SCHEMA fleet;
CREATE SCHEMA work;

-- The rule for identifiers that callers may choose: they become path segments and, on agents, file names.
CREATE FUNCTION platform.is_public_id(id text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$';

CREATE TABLE platform.settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    row_version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE platform.idempotency_keys (
    actor text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    status smallint NOT NULL DEFAULT 0,
    body text,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_keys_expires_at_idx ON platform.idempotency_keys (expires_at);

CREATE TABLE platform.scheduler_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loop_name text NOT NULL,
    replica text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    items bigint NOT NULL,
    error text
);
CREATE INDEX scheduler_runs_loop_name_idx ON platform.scheduler_runs (loop_name, finished_at DESC);

-- Events are partitioned by month so that retention can drop whole months; the default partition catches what a
-- missing month would refuse, because an event that can't be stored would stop the change it tells of.
CREATE TABLE audit.events (
    insert_id bigint GENERATED ALWAYS AS IDENTITY,
    id text NOT NULL CHECK (platform.is_public_id(id)),
    at timestamptz NOT NULL,
    actor_id text NOT NULL,
    actor_type text NOT NULL
        CONSTRAINT events_actor_type_check CHECK (actor_type IN ('User', 'System', 'Agent', 'APIKey', 'Anonymous')),
    action text NOT NULL,
    resource_type text NOT NULL,
    resource_id text NOT NULL,
    category text NOT NULL
        CONSTRAINT events_category_check CHECK (category IN ('cert_lifecycle', 'auth', 'config')),
    details jsonb NOT NULL CHECK (jsonb_typeof(details) = 'object'),
    request_id text NOT NULL,
    source_ip text,
    tenant_id text NOT NULL DEFAULT 't-default',
    PRIMARY KEY (at, insert_id)
) PARTITION BY RANGE (at);
CREATE TABLE audit.events_default PARTITION OF audit.events DEFAULT;
CREATE INDEX events_id_idx ON audit.events (id);
CREATE INDEX events_resource_idx ON audit.events (resource_type, resource_id, at DESC);
CREATE INDEX events_actor_id_idx ON audit.events (actor_id, at DESC);
CREATE INDEX events_action_idx ON audit.events (action, at DESC);
CREATE INDEX events_category_idx ON audit.events (category, at DESC);

-- Filled by the statement that inserts the event, drained by the sealer.
CREATE TABLE audit.unsealed (
    insert_id bigint PRIMARY KEY
);

CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'check_violation';
END;
$$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON audit.events
    FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON audit.events
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
