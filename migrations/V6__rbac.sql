-- Every change of what anybody may do, or of whether a credential is good, counts in the transaction that makes it,
-- whoever makes it: replicas remember decisions under this number and are told when it moves.
CREATE FUNCTION iam.access_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Once a transaction is enough.
    UPDATE iam.rbac_version SET version = version + 1 WHERE xmin <> pg_current_xact_id()::xid;
    PERFORM pg_notify('certctl', 'access');
    RETURN NULL;
END $$;

CREATE TRIGGER grants_access_changed AFTER INSERT OR UPDATE OR DELETE ON iam.grants
    FOR EACH ROW EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER role_permissions_access_changed AFTER INSERT OR UPDATE OR DELETE ON iam.role_permissions
    FOR EACH ROW EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER grants_access_emptied AFTER TRUNCATE ON iam.grants
    FOR EACH STATEMENT EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER role_permissions_access_emptied AFTER TRUNCATE ON iam.role_permissions
    FOR EACH STATEMENT EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER principals_access_changed AFTER UPDATE ON iam.principals
    FOR EACH ROW WHEN (OLD.disabled_at IS DISTINCT FROM NEW.disabled_at)
    EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER api_keys_access_changed AFTER UPDATE ON iam.api_keys
    FOR EACH ROW WHEN ((OLD.disabled_at, OLD.expires_at, OLD.overlap_until, OLD.name, OLD.key_hash, OLD.lookup_id)
        IS DISTINCT FROM
        (NEW.disabled_at, NEW.expires_at, NEW.overlap_until, NEW.name, NEW.key_hash, NEW.lookup_id))
    EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER api_keys_access_removed AFTER DELETE ON iam.api_keys
    FOR EACH ROW EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER agent_credentials_access_changed AFTER UPDATE ON iam.agent_credentials
    FOR EACH ROW WHEN ((OLD.revoked_at, OLD.not_after, OLD.fingerprint, OLD.lookup_id)
        IS DISTINCT FROM (NEW.revoked_at, NEW.not_after, NEW.fingerprint, NEW.lookup_id))
    EXECUTE FUNCTION iam.access_changed();
CREATE TRIGGER agent_credentials_access_removed AFTER DELETE ON iam.agent_credentials
    FOR EACH ROW EXECUTE FUNCTION iam.access_changed();

-- Ended grants are swept, and a profile or issuer does not go while a grant or a role names it.
CREATE INDEX grants_expires_at_idx ON iam.grants (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX grants_scope_idx ON iam.grants (scope_type, scope_id) WHERE scope_id IS NOT NULL;
CREATE INDEX role_permissions_scope_idx ON iam.role_permissions (scope_type, scope_id) WHERE scope_id IS NOT NULL;

-- What was used and when last, by principal: from it comes the suggestion of fewer rights.
CREATE TABLE iam.actor_permission_usage (
    tenant_id text NOT NULL DEFAULT 't-default'
        CONSTRAINT actor_permission_usage_tenant_id_fkey REFERENCES iam.tenants,
    actor_type text NOT NULL,
    actor_id text NOT NULL,
    permission text NOT NULL,
    last_used timestamptz NOT NULL,
    count bigint NOT NULL CONSTRAINT actor_permission_usage_count_check CHECK (count > 0),
    PRIMARY KEY (tenant_id, actor_type, actor_id, permission)
);
