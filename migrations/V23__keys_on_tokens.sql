-- A CA's key may be on a PKCS#11 token; like one in a file, nothing of it is stored.
ALTER TABLE ca.ca_certificates
    DROP CONSTRAINT ca_certificates_key_driver_id_check,
    ADD CONSTRAINT ca_certificates_key_driver_id_check CHECK (key_driver_id IN ('sealed', 'file', 'pkcs11'));
