-- How far each consumer of events has come. Only adds.
-- compatible_from: 7

CREATE TABLE consumer_offsets (
    seq        bigint      NOT NULL DEFAULT 0 CHECK (seq >= 0),
    epoch      bigint      NOT NULL DEFAULT 0,
    poison_seq bigint      NOT NULL DEFAULT 0,
    moved_at   timestamptz NOT NULL DEFAULT now(),
    shard      smallint    NOT NULL CHECK (shard BETWEEN 0 AND 255),
    paused     boolean     NOT NULL DEFAULT false,
    consumer   text        NOT NULL,
    trouble    text        NOT NULL DEFAULT '',
    skipped    jsonb       NOT NULL DEFAULT '[]',
    PRIMARY KEY (consumer, shard)
) WITH (fillfactor = 20);

COMMENT ON TABLE consumer_offsets IS
    'How far each consumer has come in each shard, written in the transaction of its effects. A consumer with a database of its own has this table there. Free space in every page, because a row is updated with every batch.';
COMMENT ON COLUMN consumer_offsets.consumer IS 'Its name.';
COMMENT ON COLUMN consumer_offsets.shard IS 'The shard.';
COMMENT ON COLUMN consumer_offsets.seq IS 'All events up to this one are done.';
COMMENT ON COLUMN consumer_offsets.epoch IS
    'The epoch of that event. Another one under its seq shows that the past was lost. 0 if it is not known.';
COMMENT ON COLUMN consumer_offsets.paused IS 'By an operator.';
COMMENT ON COLUMN consumer_offsets.trouble IS 'Why it stopped by itself; empty if it did not.';
COMMENT ON COLUMN consumer_offsets.poison_seq IS 'The event it stopped at; 0 if none.';
COMMENT ON COLUMN consumer_offsets.skipped IS
    'Events that an operator left out, each with the trouble, the reason and who it was.';
COMMENT ON COLUMN consumer_offsets.moved_at IS
    'When it last changed, by the clock of this database; for people only.';
