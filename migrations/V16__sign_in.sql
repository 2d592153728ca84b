-- Signing in: people, the providers that vouch for them, and their sessions.

-- The first administrator through a token or a group is made once an installation, whoever is removed later.
ALTER TABLE iam.tenants ADD COLUMN first_admin_at timestamptz;
UPDATE iam.tenants t SET first_admin_at = now()
    WHERE EXISTS (SELECT FROM iam.grants g WHERE g.tenant_id = t.id AND g.role_id = 'r-admin' AND g.source <> 'env'
        AND g.actor_type <> 'Anonymous');

CREATE TABLE iam.oidc_providers (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT oidc_providers_tenant_id_fkey REFERENCES iam.tenants,
    name text NOT NULL,
    issuer_url text NOT NULL,
    client_id text NOT NULL,
    client_secret_encrypted bytea NOT NULL,
    redirect_uri text NOT NULL,
    groups_claim_path text NOT NULL DEFAULT 'groups',
    groups_claim_format text NOT NULL DEFAULT 'string-array'
        CONSTRAINT oidc_providers_groups_claim_format_check CHECK (groups_claim_format IN ('string-array', 'json-path')),
    -- Claims whose groups are added to those of groups_claim_path.
    more_groups_claim_paths text[] NOT NULL DEFAULT '{}',
    fetch_userinfo boolean NOT NULL DEFAULT false,
    scopes text[] NOT NULL DEFAULT '{openid,profile,email}',
    allowed_email_domains text[] NOT NULL DEFAULT '{}',
    require_verified_email boolean NOT NULL DEFAULT true,
    iat_window_seconds integer NOT NULL DEFAULT 300
        CONSTRAINT oidc_providers_iat_window_seconds_check CHECK (iat_window_seconds BETWEEN 1 AND 600),
    jwks_cache_ttl_seconds integer NOT NULL DEFAULT 3600
        CONSTRAINT oidc_providers_jwks_cache_ttl_seconds_check CHECK (jwks_cache_ttl_seconds >= 60),
    at_hash_policy text NOT NULL DEFAULT 'if_present'
        CONSTRAINT oidc_providers_at_hash_policy_check CHECK (at_hash_policy IN ('if_present', 'require')),
    groups_overage text NOT NULL DEFAULT 'refuse'
        CONSTRAINT oidc_providers_groups_overage_check CHECK (groups_overage IN ('refuse', 'graph')),
    -- Everybody whom the provider vouches for within `hosted_domain` gets `default_role_id`: for providers that know
    -- no groups.
    hosted_domain text NOT NULL DEFAULT '',
    default_role_id text CONSTRAINT oidc_providers_default_role_id_fkey REFERENCES iam.roles,
    rp_initiated_logout boolean NOT NULL DEFAULT false,
    ca_bundle_pem text NOT NULL DEFAULT '',
    enabled boolean NOT NULL DEFAULT true,
    archived_at timestamptz,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT oidc_providers_default_role_check CHECK (default_role_id IS NULL OR hosted_domain <> '')
);
CREATE UNIQUE INDEX oidc_providers_name_key ON iam.oidc_providers (tenant_id, lower(name));
CREATE INDEX oidc_providers_default_role_id_idx ON iam.oidc_providers (default_role_id);
CREATE INDEX oidc_providers_issuer_url_idx ON iam.oidc_providers (issuer_url);

CREATE TABLE iam.group_role_mappings (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT group_role_mappings_tenant_id_fkey REFERENCES iam.tenants,
    provider_id text NOT NULL
        CONSTRAINT group_role_mappings_provider_id_fkey REFERENCES iam.oidc_providers ON DELETE CASCADE,
    group_name text NOT NULL CONSTRAINT group_role_mappings_group_name_check CHECK (group_name <> ''),
    role_id text NOT NULL CONSTRAINT group_role_mappings_role_id_fkey REFERENCES iam.roles,
    scope_type text NOT NULL DEFAULT 'global'
        CONSTRAINT group_role_mappings_scope_type_check CHECK (scope_type IN ('global', 'profile', 'issuer')),
    scope_id text,
    description text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    row_version bigint NOT NULL DEFAULT 1,
    CONSTRAINT group_role_mappings_scope_check CHECK ((scope_type = 'global') = (scope_id IS NULL)),
    CONSTRAINT group_role_mappings_group_key
        UNIQUE NULLS NOT DISTINCT (provider_id, group_name, role_id, scope_type, scope_id)
);
CREATE INDEX group_role_mappings_tenant_id_idx ON iam.group_role_mappings (tenant_id);
CREATE INDEX group_role_mappings_role_id_idx ON iam.group_role_mappings (role_id);
CREATE INDEX group_role_mappings_scope_idx ON iam.group_role_mappings (scope_type, scope_id) WHERE scope_id IS NOT NULL;

-- A person. The row stays when personal data goes: `subject_lookup`, a keyed hash of provider and subject, is what a
-- later sign-in is recognised and refused by. Emergency accounts have no provider.
CREATE TABLE iam.users (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT users_tenant_id_fkey REFERENCES iam.tenants,
    principal_kind text NOT NULL DEFAULT 'User' CONSTRAINT users_principal_kind_check CHECK (principal_kind = 'User'),
    email text NOT NULL DEFAULT '',
    display_name text NOT NULL DEFAULT '',
    oidc_provider_id text CONSTRAINT users_oidc_provider_id_fkey REFERENCES iam.oidc_providers,
    oidc_subject text,
    subject_lookup text CONSTRAINT users_subject_lookup_key UNIQUE,
    idp_groups text[] NOT NULL DEFAULT '{}',
    last_login_at timestamptz,
    deactivated_at timestamptz,
    purged_at timestamptz,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_subject_check CHECK ((oidc_provider_id IS NULL) = (subject_lookup IS NULL)),
    CONSTRAINT users_purged_check CHECK (purged_at IS NULL OR (deactivated_at IS NOT NULL AND oidc_subject IS NULL)),
    CONSTRAINT users_principal_fkey FOREIGN KEY (tenant_id, principal_kind, id) REFERENCES iam.principals
);
CREATE INDEX users_principal_idx ON iam.users (tenant_id, principal_kind, id);
CREATE INDEX users_email_idx ON iam.users (tenant_id, lower(email));
CREATE INDEX users_created_at_idx ON iam.users (tenant_id, created_at, id);
CREATE INDEX users_oidc_provider_id_idx ON iam.users (oidc_provider_id, created_at, id);
CREATE INDEX users_deactivated_at_idx ON iam.users (deactivated_at) WHERE purged_at IS NULL AND deactivated_at IS NOT NULL;

-- Secrets of the installation that are neither a CA's nor a connector's, each under an id of its own.
CREATE TABLE iam.installation_secrets (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    value_encrypted bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Keys that cookies are signed with. One signs; retired ones verify for a while.
CREATE TABLE iam.session_signing_keys (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT session_signing_keys_tenant_id_fkey REFERENCES iam.tenants,
    key_material_encrypted bytea NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz,
    -- A key that leaked verifies nothing from then on.
    compromised boolean NOT NULL DEFAULT false,
    CONSTRAINT session_signing_keys_retired_at_check CHECK (retired_at >= created_at)
);
CREATE INDEX session_signing_keys_tenant_id_idx ON iam.session_signing_keys (tenant_id, created_at DESC);
CREATE UNIQUE INDEX session_signing_keys_active_key ON iam.session_signing_keys (tenant_id) WHERE retired_at IS NULL;

CREATE TABLE iam.sessions (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    actor_type text NOT NULL,
    actor_id text NOT NULL,
    signing_key_id text NOT NULL
        CONSTRAINT sessions_signing_key_id_fkey REFERENCES iam.session_signing_keys,
    -- How the person signed in.
    way text NOT NULL CONSTRAINT sessions_way_check CHECK (way IN ('oidc', 'breakglass', 'api_key')),
    provider_id text CONSTRAINT sessions_provider_id_fkey REFERENCES iam.oidc_providers,
    -- The provider's own name for its session (`sid`), for its logout.
    idp_sid text,
    -- Kept for a logout that tells the provider who leaves.
    id_token_encrypted bytea,
    -- A session that an API key was exchanged for lives no longer than the key.
    api_key_id text CONSTRAINT sessions_api_key_id_fkey REFERENCES iam.api_keys ON DELETE CASCADE,
    csrf_epoch integer NOT NULL DEFAULT 0,
    ip_address text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    absolute_expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text CONSTRAINT sessions_revoked_reason_check CHECK (revoked_reason IN
        ('logout', 'admin', 'self', 'idp', 'rotation', 'deactivated', 'credential_changed', 'limit', 'provider')),
    CONSTRAINT sessions_revoked_check CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL)),
    CONSTRAINT sessions_absolute_expires_at_check CHECK (absolute_expires_at > created_at),
    CONSTRAINT sessions_way_parts_check CHECK ((way = 'oidc') = (provider_id IS NOT NULL)
        AND (way = 'api_key') = (api_key_id IS NOT NULL)),
    CONSTRAINT sessions_actor_fkey FOREIGN KEY (tenant_id, actor_type, actor_id) REFERENCES iam.principals
);
CREATE INDEX sessions_actor_idx ON iam.sessions (tenant_id, actor_type, actor_id, created_at DESC);
CREATE INDEX sessions_created_at_idx ON iam.sessions (tenant_id, created_at DESC, id DESC);
CREATE INDEX sessions_provider_idx ON iam.sessions (provider_id, idp_sid) WHERE provider_id IS NOT NULL;
CREATE INDEX sessions_absolute_expires_at_idx ON iam.sessions (absolute_expires_at);
CREATE INDEX sessions_signing_key_id_idx ON iam.sessions (signing_key_id);
CREATE INDEX sessions_api_key_id_idx ON iam.sessions (api_key_id) WHERE api_key_id IS NOT NULL;

-- A session's end, or another CSRF epoch, counts as a change of access: replicas forget what they remembered.
CREATE TRIGGER sessions_access_changed AFTER UPDATE ON iam.sessions
    FOR EACH ROW WHEN ((OLD.revoked_at, OLD.csrf_epoch) IS DISTINCT FROM (NEW.revoked_at, NEW.csrf_epoch))
    EXECUTE FUNCTION iam.access_changed();

-- Keys and providers are kept in memory; replicas read them again when told, and ask now and then on their own.
CREATE FUNCTION iam.session_keys_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('certctl', 'session_keys');
    RETURN NULL;
END $$;
CREATE TRIGGER session_signing_keys_changed AFTER INSERT OR UPDATE OR DELETE ON iam.session_signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION iam.session_keys_changed();

CREATE FUNCTION iam.provider_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('certctl', 'provider' || chr(31) || coalesce(NEW.id, OLD.id));
    RETURN NULL;
END $$;
CREATE TRIGGER oidc_providers_changed AFTER INSERT OR UPDATE OR DELETE ON iam.oidc_providers
    FOR EACH ROW EXECUTE FUNCTION iam.provider_changed();

-- A sign-in that was begun lives in the browser's sealed cookie; here is which of them were used, until they would
-- have run out by themselves.
CREATE TABLE iam.used_sign_ins (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_sign_ins_expires_at_idx ON iam.used_sign_ins (expires_at);

-- Logout tokens that were acted on (OpenID Connect Back-Channel Logout 1.0 §2.6).
CREATE TABLE iam.oidc_bcl_consumed_jtis (
    jti text NOT NULL,
    issuer_url text NOT NULL,
    consumed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (jti, issuer_url)
);
CREATE INDEX oidc_bcl_consumed_jtis_expires_at_idx ON iam.oidc_bcl_consumed_jtis (expires_at);
