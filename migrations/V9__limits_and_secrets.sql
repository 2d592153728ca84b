-- Rate limits by the generic cell rate algorithm: `tat` is the theoretical arrival time, in nanoseconds since the Unix
-- epoch by this database's clock; a row whose time has passed says nothing and may go. `refused` counts refusals since
-- the last unit was given, and tells in the same statement which of the two happened. Lost with a crash, by intent:
-- counts are worth less than what writing them durably would cost every request.
CREATE UNLOGGED TABLE platform.rate_limits (
    limiter text NOT NULL,
    key text NOT NULL,
    tat bigint NOT NULL,
    refused bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (limiter, key)
) WITH (fillfactor = 70);
CREATE INDEX rate_limits_tat_idx ON platform.rate_limits (tat);
