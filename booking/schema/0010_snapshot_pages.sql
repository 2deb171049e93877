-- Pages of large states, so that a snapshot is written and read piece by piece. Only adds: a program of
-- the release before this one takes a snapshot with pages for one of another shape and leaves it
-- aside.
-- compatible_from: 6

ALTER TABLE snapshots
    ADD COLUMN pages integer,
    ADD COLUMN pages_seq bigint;

COMMENT ON COLUMN snapshots.pages IS 'How many pages the state has besides.';
COMMENT ON COLUMN snapshots.pages_seq IS 'The seq for which pages was written; where it is not seq, there are none.';

CREATE TABLE snapshot_pages (
    seq     bigint   NOT NULL,
    epoch   bigint   NOT NULL,
    shard   smallint NOT NULL,
    number  integer  NOT NULL,
    address text     NOT NULL,
    data    bytea    NOT NULL,
    PRIMARY KEY (shard, address, number, seq)
);

-- Mostly random: compressing costs time and saves nothing.
ALTER TABLE snapshot_pages ALTER COLUMN data SET STORAGE EXTERNAL;

COMMENT ON TABLE snapshot_pages IS
    'Pages of large states. To a snapshot belongs, of each number, the newest row that is not above its seq. Every snapshot may be deleted with its pages: it only saves reading.';
COMMENT ON COLUMN snapshot_pages.shard IS 'The shard of the entity.';
COMMENT ON COLUMN snapshot_pages.address IS 'The entity.';
COMMENT ON COLUMN snapshot_pages.number IS 'Which part of the state this is.';
COMMENT ON COLUMN snapshot_pages.epoch IS 'The epoch under which the row was written.';
COMMENT ON COLUMN snapshot_pages.seq IS 'The page is as it was after all the entity''s events up to and including this seq.';
COMMENT ON COLUMN snapshot_pages.data IS 'Encoded by the entity''s behaviour; empty if there is no page of this number any more.';
