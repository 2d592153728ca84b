-- The way in when the identity provider is down: credentials of people, most of them emergency accounts that no
-- provider vouches for, their security keys, and the window in which they may sign in.

CREATE TABLE iam.breakglass_credentials (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT breakglass_credentials_tenant_id_fkey REFERENCES iam.tenants,
    actor_id text NOT NULL CONSTRAINT breakglass_credentials_actor_id_key UNIQUE
        CONSTRAINT breakglass_credentials_actor_id_fkey REFERENCES iam.users ON DELETE CASCADE,
    password_hash text NOT NULL
        CONSTRAINT breakglass_credentials_password_hash_check CHECK (password_hash LIKE '$argon2id$v=19$%'),
    created_at timestamptz NOT NULL,
    last_password_change_at timestamptz NOT NULL,
    failure_count integer NOT NULL DEFAULT 0
        CONSTRAINT breakglass_credentials_failure_count_check CHECK (failure_count >= 0),
    locked_until timestamptz,
    last_failure_at timestamptz
);
CREATE INDEX breakglass_credentials_locked_until_idx ON iam.breakglass_credentials (locked_until)
    WHERE locked_until IS NOT NULL;

-- Security keys (W3C Web Authentication). `passkey` holds public keys, counters and flags: nothing that signs.
CREATE TABLE iam.webauthn_credentials (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    tenant_id text NOT NULL DEFAULT 't-default' CONSTRAINT webauthn_credentials_tenant_id_fkey REFERENCES iam.tenants,
    actor_id text NOT NULL CONSTRAINT webauthn_credentials_actor_id_fkey REFERENCES iam.users ON DELETE CASCADE,
    name text NOT NULL CONSTRAINT webauthn_credentials_name_check CHECK (name <> ''),
    credential_id text NOT NULL CONSTRAINT webauthn_credentials_credential_id_key UNIQUE,
    passkey jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz
);
CREATE INDEX webauthn_credentials_actor_id_idx ON iam.webauthn_credentials (actor_id, created_at);

-- Challenges that were given out; taking one removes it.
CREATE TABLE iam.webauthn_challenges (
    id text PRIMARY KEY CHECK (platform.is_public_id(id)),
    actor_id text NOT NULL CONSTRAINT webauthn_challenges_actor_id_fkey REFERENCES iam.users ON DELETE CASCADE,
    purpose text NOT NULL CONSTRAINT webauthn_challenges_purpose_check CHECK (purpose IN ('register', 'sign_in')),
    ceremony jsonb NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX webauthn_challenges_actor_id_idx ON iam.webauthn_challenges (actor_id);
CREATE INDEX webauthn_challenges_expires_at_idx ON iam.webauthn_challenges (expires_at);

-- The last window, open or over. A window that was closed by hand is not opened by a server that starts.
CREATE TABLE iam.breakglass_window (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT breakglass_window_one_check CHECK (one),
    opened_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL,
    closed_at timestamptz,
    opened_by text NOT NULL CONSTRAINT breakglass_window_opened_by_check CHECK (opened_by IN ('host', 'boot')),
    end_told boolean NOT NULL DEFAULT false,
    CONSTRAINT breakglass_window_closes_at_check CHECK (closes_at >= opened_at)
);
CREATE INDEX breakglass_credentials_tenant_id_idx ON iam.breakglass_credentials (tenant_id);
CREATE INDEX webauthn_credentials_tenant_id_idx ON iam.webauthn_credentials (tenant_id);
