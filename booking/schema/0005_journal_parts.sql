-- Which part of a journal this database holds, when the journal is spread over several. A journal in
-- one database has no row here. Only adds a table, which the release before this one never looks at.

CREATE TABLE journal_part (
    only_row boolean  PRIMARY KEY DEFAULT true CHECK (only_row),
    journal  uuid     NOT NULL,
    part     smallint NOT NULL CHECK (part >= 0),
    parts    smallint NOT NULL CHECK (parts > part AND parts BETWEEN 2 AND 256)
);

COMMENT ON TABLE journal_part IS
    'Shard s is in this database if s % parts = part. Written once, by the first booking migrate; an instance whose settings say otherwise does not start.';
COMMENT ON COLUMN journal_part.only_row IS 'Always true: there is one row, or none.';
COMMENT ON COLUMN journal_part.journal IS 'Names the journal, the same in all its databases.';
COMMENT ON COLUMN journal_part.part IS 'The place of this database among them, from 0: BOOKING_DATABASE_URL is the first, then those of BOOKING_JOURNAL_URLS in their order.';
COMMENT ON COLUMN journal_part.parts IS 'How many databases the journal has.';
