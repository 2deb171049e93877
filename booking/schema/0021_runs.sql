-- When a run claimed its first shard: which of two runs of one name is the later one. Only adds.
-- compatible_from: 7

CREATE INDEX epochs_run ON epochs (incarnation, claimed_at);

COMMENT ON COLUMN epochs.claimed_at IS
    'When, by the clock of the database. The first claims of two runs of one name tell which is the later.';
