-- Exports and archives find the numbers of a span of time.
CREATE INDEX log_event_at_idx ON audit.log (event_at);
