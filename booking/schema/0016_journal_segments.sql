-- Every row of the journal gets the number of its segment: 1 for all there are. Only adds, and reads
-- no row: the next migration checks them while the service goes on.
-- compatible_from: 7

ALTER TABLE journal
    ADD COLUMN segment smallint NOT NULL DEFAULT 1,
    ADD CONSTRAINT journal_segment CHECK (segment = 1) NOT VALID;

COMMENT ON COLUMN journal.segment IS
    'The segment it was written to, by the order of commits: never falls as seq grows within a shard.';
