-- What the journal lost after it was acknowledged, by a fail-over to a standby that lacked it. Only
-- adds: the release before this one serves on, and does not wait for an operator.
-- compatible_from: 7

CREATE TABLE losses (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard       smallint    NOT NULL,
    seq         bigint      NOT NULL,
    epoch       bigint      NOT NULL,
    writer      text        NOT NULL,
    kept_seq    bigint      NOT NULL,
    entities    json        NOT NULL,
    instance    text        NOT NULL,
    incarnation text        NOT NULL,
    raised_to   bigint      NOT NULL,
    noticed_at  timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,
    accepted_by text        NOT NULL DEFAULT '',
    UNIQUE (shard, seq, epoch, writer, incarnation)
);

CREATE INDEX losses_open ON losses (shard) WHERE accepted_at IS NULL;

COMMENT ON TABLE losses IS
    'Rows that an instance knew to be in the journal and that are no longer there. Nobody may claim a shard with a loss that is not accepted.';
COMMENT ON COLUMN losses.id IS 'In the order of being noticed; numbers may be left out.';
COMMENT ON COLUMN losses.shard IS 'The shard that lost rows.';
COMMENT ON COLUMN losses.seq IS 'The last row that was committed, as far as the instance knew.';
COMMENT ON COLUMN losses.epoch IS 'The epoch of that row.';
COMMENT ON COLUMN losses.writer IS 'The incarnation that wrote it.';
COMMENT ON COLUMN losses.kept_seq IS 'The last row before it that is still there: the rows above, up to seq, are lost.';
COMMENT ON COLUMN losses.entities IS 'Addresses of entities that are known to have lost events, as a JSON array: those that the instance had in memory, at most 100.';
COMMENT ON COLUMN losses.instance IS 'Who noticed it.';
COMMENT ON COLUMN losses.incarnation IS 'The run of that instance.';
COMMENT ON COLUMN losses.raised_to IS 'The epoch of the shard from then on, above all that were served before.';
COMMENT ON COLUMN losses.noticed_at IS 'When, by the clock of the database.';
COMMENT ON COLUMN losses.accepted_at IS 'When an operator let the shard be served from what there is; null before.';
COMMENT ON COLUMN losses.accepted_by IS 'Who did.';
