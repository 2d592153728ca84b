CREATE TABLE iam.tenants (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO iam.tenants (id, name) VALUES ('t-default', 'default');

-- One row an actor; grants refer to it.
CREATE TABLE iam.principals (
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT principals_tenant_id_fkey REFERENCES iam.tenants,
    kind text NOT NULL
        CONSTRAINT principals_kind_check CHECK (kind IN ('User', 'System', 'Agent', 'APIKey', 'Anonymous')),
    id text NOT NULL,
    display text NOT NULL DEFAULT '',
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, id)
);

-- Permissions, the system roles and what they permit come from the code's catalogue at each start, not from here.
CREATE TABLE iam.permissions (
    id text PRIMARY KEY,
    name text NOT NULL CONSTRAINT permissions_name_key UNIQUE,
    namespace text NOT NULL
);
CREATE TABLE iam.roles (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT roles_tenant_id_fkey REFERENCES iam.tenants,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    system boolean NOT NULL DEFAULT false,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX roles_name_key ON iam.roles (tenant_id, lower(name));

CREATE TABLE iam.role_permissions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    role_id text NOT NULL CONSTRAINT role_permissions_role_id_fkey REFERENCES iam.roles ON DELETE CASCADE,
    permission_id text NOT NULL CONSTRAINT role_permissions_permission_id_fkey REFERENCES iam.permissions,
    scope_type text NOT NULL DEFAULT 'global'
        CONSTRAINT role_permissions_scope_type_check CHECK (scope_type IN ('global', 'profile', 'issuer')),
    scope_id text,
    CONSTRAINT role_permissions_scope_check CHECK ((scope_type = 'global') = (scope_id IS NULL)),
    CONSTRAINT role_permissions_role_id_key UNIQUE NULLS NOT DISTINCT (role_id, permission_id, scope_type, scope_id)
);
CREATE INDEX role_permissions_permission_id_idx ON iam.role_permissions (permission_id);

CREATE TABLE iam.grants (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    actor_type text NOT NULL,
    actor_id text NOT NULL,
    role_id text NOT NULL CONSTRAINT grants_role_id_fkey REFERENCES iam.roles,
    scope_type text NOT NULL DEFAULT 'global'
        CONSTRAINT grants_scope_type_check CHECK (scope_type IN ('global', 'profile', 'issuer')),
    scope_id text,
    source text NOT NULL
        CONSTRAINT grants_source_check CHECK (source ~ '^(manual|bootstrap|env|oidc:.+|approval:.+)$'),
    granted_by text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    CONSTRAINT grants_scope_check CHECK ((scope_type = 'global') = (scope_id IS NULL)),
    CONSTRAINT grants_actor_fkey FOREIGN KEY (tenant_id, actor_type, actor_id) REFERENCES iam.principals,
    CONSTRAINT grants_actor_key
        UNIQUE NULLS NOT DISTINCT (tenant_id, actor_type, actor_id, role_id, scope_type, scope_id, source)
);
CREATE INDEX grants_role_id_idx ON iam.grants (role_id);

-- A key's actor is the principal of kind APIKey with the key's name; several keys may share it while one takes over
-- from another. `admin` only repeats what the key was made for: grants decide.
CREATE TABLE iam.api_keys (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT api_keys_tenant_id_fkey REFERENCES iam.tenants,
    principal_kind text NOT NULL DEFAULT 'APIKey' CONSTRAINT api_keys_principal_kind_check CHECK (principal_kind = 'APIKey'),
    name text NOT NULL,
    lookup_id text CONSTRAINT api_keys_lookup_id_key UNIQUE,
    key_hash text NOT NULL CONSTRAINT api_keys_key_hash_key UNIQUE
        CONSTRAINT api_keys_key_hash_check CHECK (key_hash ~ '^[0-9a-f]{64}$'),
    admin boolean NOT NULL DEFAULT false,
    source text NOT NULL CONSTRAINT api_keys_source_check CHECK (source IN ('manual', 'env', 'bootstrap')),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    overlap_until timestamptz,
    last_used_at timestamptz,
    last_used_ip text,
    disabled_at timestamptz,
    disabled_by text,
    rotated_from text CONSTRAINT api_keys_rotated_from_fkey REFERENCES iam.api_keys,
    CONSTRAINT api_keys_disabled_by_check CHECK ((disabled_at IS NULL) = (disabled_by IS NULL)),
    CONSTRAINT api_keys_name_fkey FOREIGN KEY (tenant_id, principal_kind, name) REFERENCES iam.principals
);
CREATE INDEX api_keys_name_idx ON iam.api_keys (tenant_id, principal_kind, name);
CREATE INDEX api_keys_created_at_idx ON iam.api_keys (tenant_id, created_at DESC, id DESC);
CREATE INDEX api_keys_rotated_from_idx ON iam.api_keys (rotated_from);

CREATE TABLE iam.agent_credentials (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    agent_id text NOT NULL,
    kind text NOT NULL DEFAULT 'key' CONSTRAINT agent_credentials_kind_check CHECK (kind IN ('key', 'mtls')),
    lookup_id text CONSTRAINT agent_credentials_lookup_id_key UNIQUE,
    fingerprint text NOT NULL CONSTRAINT agent_credentials_fingerprint_key UNIQUE,
    created_at timestamptz NOT NULL,
    not_after timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX agent_credentials_agent_id_idx ON iam.agent_credentials (agent_id);

-- An environment key's role is granted when the pair is first seen, so that what administrators change later stands.
CREATE TABLE iam.env_key_seeds (
    name text NOT NULL,
    key_fingerprint text NOT NULL,
    role text NOT NULL,
    seeded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, key_fingerprint)
);

-- One row: how often roles, their permissions or grants changed.
CREATE TABLE iam.rbac_version (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO iam.rbac_version DEFAULT VALUES;

-- The statement trigger of the parent does not see a TRUNCATE of a partition.
CREATE TRIGGER events_default_no_truncate BEFORE TRUNCATE ON audit.events_default
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
