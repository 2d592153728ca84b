-- The CA certificates of our own issuers. A generation is never changed: another key or certificate is another row, and
-- what an older one signed keeps its CRL and its OCSP answers.
CREATE TABLE ca.ca_certificates (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    issuer_id text NOT NULL CONSTRAINT ca_certificates_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE CASCADE,
    parent_ca_id text CONSTRAINT ca_certificates_parent_ca_id_fkey REFERENCES ca.ca_certificates (id) ON DELETE RESTRICT,
    generation integer NOT NULL CONSTRAINT ca_certificates_generation_check CHECK (generation > 0),
    kind text NOT NULL CONSTRAINT ca_certificates_kind_check CHECK (kind IN ('root', 'intermediate', 'sub')),
    state text NOT NULL DEFAULT 'active'
        CONSTRAINT ca_certificates_state_check CHECK (state IN ('active', 'retiring', 'retired')),
    state_entered_at timestamptz NOT NULL,
    name text NOT NULL,
    subject text NOT NULL,
    cert_der bytea NOT NULL,
    -- Certificates above this one, PEM, issuer first; empty under a self-signed root.
    chain_pem text NOT NULL DEFAULT '',
    -- Where the private key is: 'sealed' in this row, or 'file' at the path of the issuer's configuration.
    key_driver_id text NOT NULL CONSTRAINT ca_certificates_key_driver_id_check CHECK (key_driver_id IN ('sealed', 'file')),
    sealed_key bytea,
    spki_sha256 text NOT NULL CONSTRAINT ca_certificates_spki_sha256_check CHECK (spki_sha256 ~ '^[0-9a-f]{64}$'),
    fingerprint_sha256 text NOT NULL
        CONSTRAINT ca_certificates_fingerprint_sha256_check CHECK (fingerprint_sha256 ~ '^[0-9a-f]{64}$'),
    serial_number text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    path_len_constraint integer,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ca_certificates_validity_check CHECK (not_after > not_before),
    CONSTRAINT ca_certificates_parent_check CHECK (parent_ca_id <> id),
    CONSTRAINT ca_certificates_sealed_key_check CHECK ((key_driver_id = 'sealed') = (sealed_key IS NOT NULL))
);
CREATE UNIQUE INDEX ca_certificates_generation_key ON ca.ca_certificates (issuer_id, generation);
CREATE UNIQUE INDEX ca_certificates_fingerprint_sha256_key ON ca.ca_certificates (issuer_id, fingerprint_sha256);
-- One CA of an issuer signs; this also makes a second root impossible whatever the replicas do.
CREATE UNIQUE INDEX ca_certificates_active_key ON ca.ca_certificates (issuer_id) WHERE state = 'active';
CREATE INDEX ca_certificates_parent_ca_id_idx ON ca.ca_certificates (parent_ca_id);
CREATE INDEX ca_certificates_not_after_idx ON ca.ca_certificates (not_after) WHERE state = 'active';

ALTER TABLE ca.issuers
    ADD CONSTRAINT issuers_issuing_ca_id_fkey FOREIGN KEY (issuing_ca_id) REFERENCES ca.ca_certificates (id)
    ON DELETE SET NULL;
ALTER TABLE inventory.certificate_versions
    ADD CONSTRAINT certificate_versions_ca_id_fkey FOREIGN KEY (ca_id) REFERENCES ca.ca_certificates (id)
    ON DELETE RESTRICT;
CREATE INDEX certificate_versions_ca_id_idx ON inventory.certificate_versions (ca_id);

-- Keys that must not be certified again.
CREATE TABLE ca.blocked_keys (
    spki_sha256 text PRIMARY KEY CONSTRAINT blocked_keys_spki_sha256_check CHECK (spki_sha256 ~ '^[0-9a-f]{64}$'),
    reason text NOT NULL,
    added_by text NOT NULL,
    added_at timestamptz NOT NULL
);

-- Leaves that were signed and whose commit then failed. They never left the server; OCSP knows them and they can be
-- revoked all the same.
CREATE TABLE inventory.orphan_issuances (
    issuer_id text NOT NULL CONSTRAINT orphan_issuances_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE RESTRICT,
    serial_number text NOT NULL CONSTRAINT orphan_issuances_serial_number_check CHECK (serial_number ~ '^[0-9a-f]{40,}$'),
    ca_id text CONSTRAINT orphan_issuances_ca_id_fkey REFERENCES ca.ca_certificates (id) ON DELETE RESTRICT,
    certificate_id text NOT NULL,
    der bytea NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    resolved_at timestamptz,
    PRIMARY KEY (issuer_id, serial_number)
);
CREATE INDEX orphan_issuances_ca_id_idx ON inventory.orphan_issuances (ca_id);

CREATE TABLE status.revocations (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default',
    certificate_id text NOT NULL
        CONSTRAINT revocations_certificate_id_fkey REFERENCES inventory.certificates (id) ON DELETE RESTRICT,
    version_id text NOT NULL
        CONSTRAINT revocations_version_id_fkey REFERENCES inventory.certificate_versions (id) ON DELETE RESTRICT,
    issuer_id text NOT NULL CONSTRAINT revocations_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE RESTRICT,
    ca_id text CONSTRAINT revocations_ca_id_fkey REFERENCES ca.ca_certificates (id) ON DELETE RESTRICT,
    serial_number text NOT NULL CONSTRAINT revocations_serial_number_check CHECK (serial_number ~ '^[0-9a-f]{40,}$'),
    reason text NOT NULL CONSTRAINT revocations_reason_check CHECK (reason IN (
        'unspecified', 'keyCompromise', 'caCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation',
        'certificateHold', 'privilegeWithdrawn', 'aaCompromise')),
    revoked_by text NOT NULL,
    revoked_at timestamptz NOT NULL,
    invalidity_date timestamptz,
    removed_at timestamptz,
    comment text NOT NULL DEFAULT '',
    not_after timestamptz NOT NULL,
    revocation_exempt boolean NOT NULL,
    upstream_state text NOT NULL
        CONSTRAINT revocations_upstream_state_check CHECK (upstream_state IN ('n/a', 'pending', 'accepted', 'failed')),
    upstream_next_at timestamptz,
    row_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX revocations_version_id_key ON status.revocations (version_id);
CREATE UNIQUE INDEX revocations_serial_number_key ON status.revocations (issuer_id, serial_number);
CREATE INDEX revocations_certificate_id_idx ON status.revocations (certificate_id);
CREATE INDEX revocations_ca_id_idx ON status.revocations (ca_id, revoked_at);
CREATE INDEX revocations_revoked_at_idx ON status.revocations (revoked_at);

-- `revision` counts the revocations of a CA as they commit; a CRL is current while it was built from that figure.
CREATE TABLE status.crl_numbers (
    ca_id text PRIMARY KEY
        CONSTRAINT crl_numbers_ca_id_fkey REFERENCES ca.ca_certificates (id) ON DELETE CASCADE,
    last_number bigint NOT NULL DEFAULT 0,
    revision bigint NOT NULL DEFAULT 0
);

CREATE TABLE status.crls (
    ca_id text NOT NULL CONSTRAINT crls_ca_id_fkey REFERENCES ca.ca_certificates (id) ON DELETE CASCADE,
    shard smallint NOT NULL DEFAULT 0,
    issuer_id text NOT NULL CONSTRAINT crls_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE CASCADE,
    crl_der bytea NOT NULL,
    crl_number bigint NOT NULL,
    this_update timestamptz NOT NULL,
    next_update timestamptz NOT NULL,
    generated_at timestamptz NOT NULL,
    generation_duration_ms integer NOT NULL,
    revoked_count integer NOT NULL,
    built_from bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (ca_id, shard),
    CONSTRAINT crls_validity_check CHECK (next_update > this_update)
);
CREATE INDEX crls_issuer_id_idx ON status.crls (issuer_id);
CREATE INDEX crls_next_update_idx ON status.crls (next_update);

CREATE TABLE status.crl_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ca_id text NOT NULL CONSTRAINT crl_events_ca_id_fkey REFERENCES ca.ca_certificates (id) ON DELETE CASCADE,
    issuer_id text NOT NULL CONSTRAINT crl_events_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE CASCADE,
    crl_number bigint NOT NULL,
    duration_ms integer NOT NULL,
    revoked_count integer NOT NULL,
    started_at timestamptz NOT NULL,
    succeeded boolean NOT NULL,
    error text
);
CREATE INDEX crl_events_ca_id_idx ON status.crl_events (ca_id, started_at DESC);
CREATE INDEX crl_events_issuer_id_idx ON status.crl_events (issuer_id, started_at DESC);

CREATE TABLE status.ocsp_responders (
    ca_id text NOT NULL CONSTRAINT ocsp_responders_ca_id_fkey REFERENCES ca.ca_certificates (id) ON DELETE CASCADE,
    generation integer NOT NULL CONSTRAINT ocsp_responders_generation_check CHECK (generation > 0),
    issuer_id text NOT NULL CONSTRAINT ocsp_responders_issuer_id_fkey REFERENCES ca.issuers (id) ON DELETE CASCADE,
    cert_der bytea NOT NULL,
    cert_serial text NOT NULL,
    key_alg text NOT NULL,
    sealed_key bytea NOT NULL,
    spki_sha256 text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    rotated_from text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (ca_id, generation),
    CONSTRAINT ocsp_responders_validity_check CHECK (not_after > not_before)
);
CREATE INDEX ocsp_responders_issuer_id_idx ON status.ocsp_responders (issuer_id);
CREATE INDEX ocsp_responders_not_after_idx ON status.ocsp_responders (not_after);
