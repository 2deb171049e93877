-- Up to where `booking audit --follow` has checked each shard, and a way to its findings. Only adds.
-- compatible_from: 7

CREATE TABLE audit_offsets (
    seq        bigint      NOT NULL CHECK (seq > 0),
    epoch      bigint      NOT NULL,
    at_ms      bigint      NOT NULL,
    checked_at timestamptz NOT NULL,
    shard      smallint    PRIMARY KEY
) WITH (fillfactor = 20);

COMMENT ON TABLE audit_offsets IS
    'Where the audit that follows the journal goes on after a restart. Every row may be deleted: the shard is then checked from its first row. In the database of the shard, so that a restored one has its own.';
COMMENT ON COLUMN audit_offsets.shard IS 'The shard.';
COMMENT ON COLUMN audit_offsets.seq IS 'All rows up to this one are checked, and nothing of them is open.';
COMMENT ON COLUMN audit_offsets.epoch IS 'The epoch of that row.';
COMMENT ON COLUMN audit_offsets.at_ms IS 'The time of that row. Another row under its seq shows that the past was lost.';
COMMENT ON COLUMN audit_offsets.checked_at IS 'All rows committed before are checked; by the clock of the database.';

CREATE INDEX operator_log_violations ON operator_log (at) WHERE what = 'violation';
