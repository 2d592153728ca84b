-- CAs below CAs: an issuer has one root in force, and as many CAs below it as it wants. Which of them signs leaves is
-- issuers.issuing_ca_id.
DROP INDEX ca.ca_certificates_active_key;
CREATE UNIQUE INDEX ca_certificates_active_key ON ca.ca_certificates (issuer_id)
    WHERE state = 'active' AND parent_ca_id IS NULL;
CREATE UNIQUE INDEX ca_certificates_name_key ON ca.ca_certificates (issuer_id, name);
ALTER TABLE ca.ca_certificates
    ADD COLUMN ocsp_responder_url text,
    ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT ca_certificates_metadata_check CHECK (jsonb_typeof(metadata) = 'object');
