-- The sealed log under the audit trail, its verifications and archives, the request log, and what the server's own
-- role may do.

-- With the instant the sealer finds an event's row in its partition.
ALTER TABLE audit.unsealed ADD COLUMN at timestamptz;
UPDATE audit.unsealed u SET at = e.at FROM audit.events e WHERE e.insert_id = u.insert_id;
ALTER TABLE audit.unsealed ALTER COLUMN at SET NOT NULL;

CREATE INDEX events_request_id_idx ON audit.events (request_id, at DESC);

-- One leaf a sealed event, numbered without gaps from 0. It outlives the event's row, so that proofs stay valid.
CREATE TABLE audit.log (
    seq bigint PRIMARY KEY CONSTRAINT log_seq_check CHECK (seq >= 0),
    insert_id bigint NOT NULL CONSTRAINT log_insert_id_key UNIQUE,
    event_id text NOT NULL CONSTRAINT log_event_id_key UNIQUE,
    event_at timestamptz NOT NULL,
    hash_version smallint NOT NULL CONSTRAINT log_hash_version_check CHECK (hash_version IN (1, 2)),
    leaf_hash bytea NOT NULL CONSTRAINT log_leaf_hash_check CHECK (octet_length(leaf_hash) = 32)
);

-- Roots of full subtrees of 256^level leaves: with the leaves, every tile of the tree.
CREATE TABLE audit.nodes (
    level smallint NOT NULL CONSTRAINT nodes_level_check CHECK (level BETWEEN 1 AND 7),
    idx bigint NOT NULL CONSTRAINT nodes_idx_check CHECK (idx >= 0),
    hash bytea NOT NULL CONSTRAINT nodes_hash_check CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, idx)
);

CREATE TABLE audit.checkpoints (
    size bigint PRIMARY KEY CONSTRAINT checkpoints_size_check CHECK (size > 0),
    root_hash bytea NOT NULL CONSTRAINT checkpoints_root_hash_check CHECK (octet_length(root_hash) = 32),
    note text NOT NULL,
    signed_at timestamptz NOT NULL
);

-- A run goes on from `position` after a restart: `frontier` holds the roots of the full subtrees before it.
CREATE TABLE audit.verifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mode text NOT NULL CONSTRAINT verifications_mode_check CHECK (mode IN ('incremental', 'full')),
    requested_by text NOT NULL,
    checkpoint text,
    started_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz,
    from_seq bigint NOT NULL,
    position bigint NOT NULL,
    to_seq bigint NOT NULL,
    frontier bytea NOT NULL,
    root_hash bytea,
    archived bigint NOT NULL DEFAULT 0,
    result text NOT NULL DEFAULT 'running'
        CONSTRAINT verifications_result_check CHECK (result IN ('running', 'ok', 'break', 'error')),
    break_code text,
    break_seq bigint,
    break_event text,
    break_detail text
);
CREATE INDEX verifications_running_idx ON audit.verifications (id) WHERE result = 'running';

-- Months that were written to a file and dropped. The event that says so is itself in the log.
CREATE TABLE audit.archives (
    partition text PRIMARY KEY,
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    events bigint NOT NULL,
    first_seq bigint,
    last_seq bigint,
    file text NOT NULL,
    sha256 text NOT NULL,
    checkpoint_size bigint NOT NULL,
    event_id text NOT NULL,
    archived_at timestamptz NOT NULL,
    CONSTRAINT archives_range_check CHECK (from_at < until_at)
);

-- Who asked what of the API. Not sealed: dashboards poll, and this is about use, not about change.
CREATE TABLE audit.access_log (
    at timestamptz NOT NULL,
    request_id text NOT NULL,
    actor_id text NOT NULL,
    actor_type text NOT NULL CONSTRAINT access_log_actor_type_check
        CHECK (actor_type IN ('User', 'System', 'Agent', 'APIKey', 'Anonymous')),
    method text NOT NULL,
    path text NOT NULL,
    route text NOT NULL,
    status smallint NOT NULL,
    latency_ms double precision NOT NULL,
    body_hash text NOT NULL,
    permission text,
    source_ip text,
    user_agent text,
    sampled integer NOT NULL CONSTRAINT access_log_sampled_check CHECK (sampled >= 1)
) PARTITION BY RANGE (at);
CREATE TABLE audit.access_log_default PARTITION OF audit.access_log DEFAULT;
CREATE INDEX access_log_at_idx ON audit.access_log (at DESC);
CREATE INDEX access_log_actor_id_idx ON audit.access_log (actor_id, at DESC);

CREATE FUNCTION audit.keep(kept regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %s '
                   'FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()', kept);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', kept);
END;
$$;
SELECT audit.keep('audit.log'), audit.keep('audit.nodes'), audit.keep('audit.checkpoints'),
       audit.keep('audit.archives');

-- Makes the partitions of the months from `of` on that are not there. A month whose events already lie in the default
-- partition stays there: moving them would mean deleting them.
CREATE FUNCTION audit.make_event_partitions(of timestamptz, months integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first timestamptz;
    next timestamptz;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('certctl.audit.partitions', 0));
    FOR step IN 0..least(months, 36) LOOP
        first := (date_trunc('month', of AT TIME ZONE 'UTC') + make_interval(months => step)) AT TIME ZONE 'UTC';
        next := (date_trunc('month', of AT TIME ZONE 'UTC') + make_interval(months => step + 1)) AT TIME ZONE 'UTC';
        name := 'events_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass('audit.' || name) IS NOT NULL
            OR EXISTS (SELECT 1 FROM audit.archives a WHERE a.partition = name)
            OR EXISTS (SELECT 1 FROM audit.events_default e WHERE e.at >= first AND e.at < next);
        EXECUTE format('CREATE TABLE audit.%I PARTITION OF audit.events FOR VALUES FROM (%L) TO (%L)',
                       name, first, next);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', name);
        made := made + 1;
    END LOOP;
    RETURN made;
END;
$$;

-- Drops a month that was archived, and nothing else.
CREATE FUNCTION audit.drop_archived(name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept audit.archives;
    there bigint;
BEGIN
    SELECT * INTO kept FROM audit.archives a WHERE a.partition = name;
    IF kept.partition IS NULL OR name !~ '^events_[0-9]{4}_[0-9]{2}$' THEN
        RAISE EXCEPTION 'the audit partition % is not archived', name USING ERRCODE = 'check_violation';
    END IF;
    EXECUTE format('LOCK TABLE audit.%I IN ACCESS EXCLUSIVE MODE', name);
    EXECUTE format('SELECT count(*) FROM audit.%I', name) INTO there;
    IF there <> kept.events THEN
        RAISE EXCEPTION 'the audit partition % changed after it was archived', name USING ERRCODE = 'check_violation';
    END IF;
    EXECUTE format('ALTER TABLE audit.events DETACH PARTITION audit.%I', name);
    EXECUTE format('DROP TABLE audit.%I', name);
END;
$$;

-- Makes the request log's partitions of the days from `of` on, and drops those that ended before `before`.
CREATE FUNCTION audit.turn_access_log(of timestamptz, days integer, before timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first timestamptz;
    next timestamptz;
    name text;
    turned integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('certctl.audit.partitions', 0));
    FOR step IN 0..least(days, 60) LOOP
        first := (date_trunc('day', of AT TIME ZONE 'UTC') + make_interval(days => step)) AT TIME ZONE 'UTC';
        next := first + interval '24 hours';
        name := 'access_log_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM_DD');
        CONTINUE WHEN to_regclass('audit.' || name) IS NOT NULL
            OR EXISTS (SELECT 1 FROM audit.access_log_default l WHERE l.at >= first AND l.at < next);
        EXECUTE format('CREATE TABLE audit.%I PARTITION OF audit.access_log FOR VALUES FROM (%L) TO (%L)',
                       name, first, next);
        turned := turned + 1;
    END LOOP;
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit.access_log'::regclass AND c.relname ~ '^access_log_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
          AND to_date(substr(c.relname, 12), 'YYYY_MM_DD') + 1 <= (before AT TIME ZONE 'UTC')::date
    LOOP
        EXECUTE format('DROP TABLE audit.%I', name);
        turned := turned + 1;
    END LOOP;
    DELETE FROM audit.access_log_default l WHERE l.at < before;
    RETURN turned;
END;
$$;

-- Gives a role what the server needs at run time: everything in the other schemas, and of the audit trail only adding
-- to it and reading it. The owner calls it after each migration.
CREATE FUNCTION platform.grant_runtime(runtime name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    schema_name name;
BEGIN
    FOR schema_name IN
        SELECT n.nspname FROM pg_namespace n
        WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'public')
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema_name, runtime);
        EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %I TO %I', schema_name, runtime);
        CONTINUE WHEN schema_name = 'audit';
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', schema_name, runtime);
        EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', schema_name, runtime);
    END LOOP;
    EXECUTE format('REVOKE EXECUTE ON FUNCTION platform.grant_runtime(name), audit.keep(regclass) FROM %I', runtime);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA audit FROM %I', runtime);
    EXECUTE format('GRANT SELECT, INSERT ON audit.events, audit.log, audit.nodes, audit.checkpoints, audit.archives, '
                   'audit.access_log TO %I', runtime);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON audit.unsealed TO %I', runtime);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON audit.verifications TO %I', runtime);
    EXECUTE format('GRANT SELECT ON public.refinery_schema_history TO %I', runtime);
END;
$$;
REVOKE EXECUTE ON FUNCTION platform.grant_runtime(name), audit.keep(regclass),
    audit.make_event_partitions(timestamptz, integer), audit.drop_archived(text),
    audit.turn_access_log(timestamptz, integer, timestamptz) FROM PUBLIC;
