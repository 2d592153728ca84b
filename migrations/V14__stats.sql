-- Series by day read a span of these; without them each would walk the table.
CREATE INDEX jobs_completed_at_idx ON work.jobs (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX certificate_versions_created_at_idx ON inventory.certificate_versions (created_at);
