-- Organisation, issuance rules, issuers, managed certificates and their versions. Nothing here is removed by removing
-- something else: every reference refuses.

CREATE TABLE org.teams (
    id text CONSTRAINT teams_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX teams_name_key ON org.teams (tenant_id, lower(name));
CREATE INDEX teams_created_at_idx ON org.teams (created_at, id);

CREATE TABLE org.owners (
    id text CONSTRAINT owners_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    email text NOT NULL DEFAULT '' CONSTRAINT owners_email_check CHECK (email = '' OR email LIKE '%@%'),
    team_id text NOT NULL CONSTRAINT owners_team_id_fkey REFERENCES org.teams (id) ON DELETE RESTRICT,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX owners_team_id_idx ON org.owners (team_id);
CREATE INDEX owners_email_idx ON org.owners (lower(email));
CREATE INDEX owners_created_at_idx ON org.owners (created_at, id);

CREATE TABLE ca.issuers (
    id text CONSTRAINT issuers_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    -- Open set: a connector names its own type.
    type text NOT NULL,
    -- Non-secret members only; the secret ones are in sealed_config.
    config jsonb NOT NULL DEFAULT '{}' CONSTRAINT issuers_config_check CHECK (jsonb_typeof(config) = 'object'),
    sealed_config bytea,
    config_version bigint NOT NULL DEFAULT 1,
    enabled boolean NOT NULL DEFAULT true,
    last_tested_at timestamptz,
    test_status text NOT NULL DEFAULT 'untested'
        CONSTRAINT issuers_test_status_check CHECK (test_status IN ('untested', 'success', 'failed')),
    source text NOT NULL DEFAULT 'database' CONSTRAINT issuers_source_check CHECK (source IN ('database', 'env')),
    hierarchy_mode text NOT NULL DEFAULT 'single'
        CONSTRAINT issuers_hierarchy_mode_check CHECK (hierarchy_mode IN ('single', 'tree')),
    issuing_ca_id text,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX issuers_name_key ON ca.issuers (tenant_id, lower(name));
CREATE INDEX issuers_issuing_ca_id_idx ON ca.issuers (issuing_ca_id);
CREATE INDEX issuers_created_at_idx ON ca.issuers (created_at, id);

CREATE TABLE policy.certificate_profiles (
    id text CONSTRAINT certificate_profiles_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    allowed_key_algorithms jsonb NOT NULL
        CONSTRAINT certificate_profiles_allowed_key_algorithms_check
        CHECK (jsonb_typeof(allowed_key_algorithms) = 'array'),
    max_ttl_seconds integer NOT NULL DEFAULT 0
        CONSTRAINT certificate_profiles_max_ttl_seconds_check CHECK (max_ttl_seconds >= 0),
    allowed_ekus text[] NOT NULL CONSTRAINT certificate_profiles_allowed_ekus_check CHECK (
        allowed_ekus <@ ARRAY['serverAuth', 'clientAuth', 'codeSigning', 'emailProtection', 'timeStamping']),
    required_san_patterns text[] NOT NULL DEFAULT '{}',
    spiffe_uri_pattern text NOT NULL DEFAULT '',
    allow_short_lived boolean NOT NULL DEFAULT false,
    must_staple boolean NOT NULL DEFAULT false,
    required_csr_attributes text[] NOT NULL DEFAULT '{}',
    acme_auth_mode text NOT NULL DEFAULT 'trust_authenticated'
        CONSTRAINT certificate_profiles_acme_auth_mode_check
        CHECK (acme_auth_mode IN ('trust_authenticated', 'challenge')),
    requires_approval boolean NOT NULL DEFAULT false,
    allow_wildcards boolean NOT NULL DEFAULT true,
    enabled boolean NOT NULL DEFAULT true,
    default_owner_id text
        CONSTRAINT certificate_profiles_default_owner_id_fkey REFERENCES org.owners (id) ON DELETE RESTRICT,
    default_team_id text
        CONSTRAINT certificate_profiles_default_team_id_fkey REFERENCES org.teams (id) ON DELETE RESTRICT,
    default_policy_id text,
    default_issuer_id text
        CONSTRAINT certificate_profiles_default_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE RESTRICT,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT certificate_profiles_allow_short_lived_check
        CHECK (NOT allow_short_lived OR max_ttl_seconds BETWEEN 1 AND 3599)
);
CREATE UNIQUE INDEX certificate_profiles_name_key ON policy.certificate_profiles (tenant_id, lower(name));
CREATE INDEX certificate_profiles_created_at_idx ON policy.certificate_profiles (created_at, id);
CREATE INDEX certificate_profiles_default_owner_id_idx ON policy.certificate_profiles (default_owner_id);
CREATE INDEX certificate_profiles_default_team_id_idx ON policy.certificate_profiles (default_team_id);
CREATE INDEX certificate_profiles_default_policy_id_idx ON policy.certificate_profiles (default_policy_id);
CREATE INDEX certificate_profiles_default_issuer_id_idx ON policy.certificate_profiles (default_issuer_id);

CREATE TABLE policy.renewal_policies (
    id text CONSTRAINT renewal_policies_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    renewal_window_days integer NOT NULL
        CONSTRAINT renewal_policies_renewal_window_days_check CHECK (renewal_window_days BETWEEN 1 AND 365),
    auto_renew boolean NOT NULL,
    max_retries integer NOT NULL CONSTRAINT renewal_policies_max_retries_check CHECK (max_retries BETWEEN 0 AND 10),
    retry_interval_seconds integer NOT NULL
        CONSTRAINT renewal_policies_retry_interval_seconds_check CHECK (retry_interval_seconds BETWEEN 60 AND 86400),
    alert_thresholds_days integer[] NOT NULL CONSTRAINT renewal_policies_alert_thresholds_days_check
        CHECK (0 <= ALL (alert_thresholds_days) AND 365 >= ALL (alert_thresholds_days)),
    alert_channels jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT renewal_policies_alert_channels_check CHECK (jsonb_typeof(alert_channels) = 'object'),
    alert_severity_map jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT renewal_policies_alert_severity_map_check CHECK (jsonb_typeof(alert_severity_map) = 'object'),
    certificate_profile_id text CONSTRAINT renewal_policies_certificate_profile_id_fkey
        REFERENCES policy.certificate_profiles (id) ON DELETE RESTRICT,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX renewal_policies_name_key ON policy.renewal_policies (tenant_id, lower(name));
CREATE INDEX renewal_policies_certificate_profile_id_idx ON policy.renewal_policies (certificate_profile_id);

ALTER TABLE policy.certificate_profiles
    ADD CONSTRAINT certificate_profiles_default_policy_id_fkey FOREIGN KEY (default_policy_id)
    REFERENCES policy.renewal_policies (id) ON DELETE RESTRICT;

-- What a search looks through, ready in lower case: comparing four columns without regard to case costs ten times that.
-- array_to_string is marked as merely stable for the sake of types whose text depends on settings; text is not one.
CREATE FUNCTION inventory.search_text(id text, name text, common_name text, sans text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lower(id || E'\n' || name || E'\n' || common_name || E'\n' || array_to_string(sans, E'\n'));

CREATE TABLE inventory.certificates (
    id text CONSTRAINT certificates_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    name text NOT NULL,
    common_name text NOT NULL,
    sans text[] NOT NULL DEFAULT '{}',
    environment text NOT NULL DEFAULT '',
    owner_id text NOT NULL CONSTRAINT certificates_owner_id_fkey REFERENCES org.owners (id) ON DELETE RESTRICT,
    team_id text NOT NULL CONSTRAINT certificates_team_id_fkey REFERENCES org.teams (id) ON DELETE RESTRICT,
    issuer_id text NOT NULL CONSTRAINT certificates_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE RESTRICT,
    renewal_policy_id text NOT NULL CONSTRAINT certificates_renewal_policy_id_fkey
        REFERENCES policy.renewal_policies (id) ON DELETE RESTRICT,
    certificate_profile_id text CONSTRAINT certificates_certificate_profile_id_fkey
        REFERENCES policy.certificate_profiles (id) ON DELETE RESTRICT,
    status text NOT NULL CONSTRAINT certificates_status_check CHECK (status IN (
        'Pending', 'Active', 'Expiring', 'Expired', 'RenewalInProgress', 'Failed', 'Revoked', 'Archived')),
    state_entered_at timestamptz NOT NULL,
    expires_at timestamptz CONSTRAINT certificates_expires_at_check CHECK (expires_at > '2000-01-01Z'),
    next_renewal_at timestamptz CONSTRAINT certificates_next_renewal_at_check CHECK (next_renewal_at > '2000-01-01Z'),
    tags jsonb NOT NULL DEFAULT '{}' CONSTRAINT certificates_tags_check CHECK (jsonb_typeof(tags) = 'object'),
    current_version_id text,
    last_renewal_at timestamptz,
    last_deployment_at timestamptz,
    revoked_at timestamptz,
    revocation_reason text,
    source text NOT NULL DEFAULT ''
        CONSTRAINT certificates_source_check CHECK (source IN ('', 'API', 'Agent', 'ACME', 'EST', 'SCEP')),
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    archived_at timestamptz,
    search text GENERATED ALWAYS AS (inventory.search_text(id, name, common_name, sans)) STORED,
    CONSTRAINT certificates_archived_at_check CHECK ((status = 'Archived') = (archived_at IS NOT NULL)),
    CONSTRAINT certificates_revoked_at_check CHECK (status <> 'Revoked' OR revoked_at IS NOT NULL),
    CONSTRAINT certificates_current_version_id_check
        CHECK (status NOT IN ('Active', 'Expiring', 'Expired') OR current_version_id IS NOT NULL)
);
CREATE UNIQUE INDEX certificates_name_key ON inventory.certificates (tenant_id, lower(name));
CREATE INDEX certificates_created_at_idx ON inventory.certificates (created_at, id);
CREATE INDEX certificates_updated_at_idx ON inventory.certificates (updated_at, id);
CREATE INDEX certificates_status_idx ON inventory.certificates (status, expires_at);
-- Never issued ones sort as if they never ended.
CREATE INDEX certificates_expires_at_idx ON inventory.certificates (coalesce(expires_at, 'infinity'), id);
CREATE INDEX certificates_next_renewal_at_idx ON inventory.certificates (next_renewal_at)
    WHERE status NOT IN ('Archived', 'Revoked');
CREATE INDEX certificates_owner_id_idx ON inventory.certificates (owner_id);
CREATE INDEX certificates_team_id_idx ON inventory.certificates (team_id);
CREATE INDEX certificates_issuer_id_idx ON inventory.certificates (issuer_id);
CREATE INDEX certificates_renewal_policy_id_idx ON inventory.certificates (renewal_policy_id);
CREATE INDEX certificates_certificate_profile_id_idx ON inventory.certificates (certificate_profile_id);
CREATE INDEX certificates_current_version_id_idx ON inventory.certificates (current_version_id, id)
    WHERE current_version_id IS NOT NULL;
CREATE INDEX certificates_tags_idx ON inventory.certificates USING gin (tags);

CREATE TABLE inventory.certificate_versions (
    id text CONSTRAINT certificate_versions_id_key PRIMARY KEY CHECK (platform.is_public_id(id)),
    certificate_id text NOT NULL CONSTRAINT certificate_versions_certificate_id_fkey
        REFERENCES inventory.certificates (id) ON DELETE RESTRICT,
    issuer_id text NOT NULL
        CONSTRAINT certificate_versions_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE RESTRICT,
    ca_id text,
    seq integer NOT NULL CONSTRAINT certificate_versions_seq_check CHECK (seq > 0),
    serial_number text NOT NULL
        CONSTRAINT certificate_versions_serial_number_check CHECK (serial_number ~ '^[0-9a-f]{40,}$'),
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    fingerprint_sha256 text NOT NULL
        CONSTRAINT certificate_versions_fingerprint_sha256_check CHECK (fingerprint_sha256 ~ '^[0-9a-f]{64}$'),
    pem_chain text NOT NULL
        CONSTRAINT certificate_versions_pem_chain_check CHECK (pem_chain LIKE '-----BEGIN CERTIFICATE-----%'),
    -- Only ever a request: a private key that strayed in here would be shown to every reader of the inventory.
    csr_pem text NOT NULL DEFAULT '' CONSTRAINT certificate_versions_csr_pem_check
        CHECK (csr_pem = '' OR (csr_pem ~ '^-----BEGIN (NEW )?CERTIFICATE REQUEST-----' AND csr_pem !~ 'PRIVATE KEY')),
    key_algorithm text NOT NULL,
    key_size integer NOT NULL,
    -- What it was issued under; stays true when the profile is gone.
    profile_id text,
    source text NOT NULL CONSTRAINT certificate_versions_source_check
        CHECK (source IN ('API', 'Agent', 'ACME', 'EST', 'SCEP')),
    job_id text,
    requested_by text NOT NULL,
    spki_sha256 text NOT NULL
        CONSTRAINT certificate_versions_spki_sha256_check CHECK (spki_sha256 ~ '^[0-9a-f]{64}$'),
    subject_dn text NOT NULL,
    issuer_dn text NOT NULL,
    sans text[] NOT NULL,
    revocation_exempt boolean NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT certificate_versions_validity_check CHECK (not_after > not_before AND not_after > '2000-01-01Z')
);
CREATE UNIQUE INDEX certificate_versions_seq_key ON inventory.certificate_versions (certificate_id, seq DESC);
-- What the current version of a certificate refers to.
CREATE UNIQUE INDEX certificate_versions_certificate_id_key ON inventory.certificate_versions (certificate_id, id);
CREATE UNIQUE INDEX certificate_versions_serial_number_key
    ON inventory.certificate_versions (issuer_id, serial_number);
CREATE UNIQUE INDEX certificate_versions_fingerprint_sha256_key
    ON inventory.certificate_versions (fingerprint_sha256);
CREATE INDEX certificate_versions_spki_sha256_idx ON inventory.certificate_versions (spki_sha256);
CREATE INDEX certificate_versions_not_after_idx ON inventory.certificate_versions (not_after);

ALTER TABLE inventory.certificates
    ADD CONSTRAINT certificates_current_version_id_fkey FOREIGN KEY (id, current_version_id)
    REFERENCES inventory.certificate_versions (certificate_id, id) DEFERRABLE INITIALLY DEFERRED;

-- Inserted once; an operator who removes it does not get it back.
INSERT INTO policy.renewal_policies (id, name, renewal_window_days, auto_renew, max_retries, retry_interval_seconds,
    alert_thresholds_days, created_at, updated_at)
VALUES ('rp-default', 'default', 30, true, 3, 60, '{30,14,7,0}', now(), now());
