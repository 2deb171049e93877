-- Who the journal is, also in a single database: its name, and a generation that every restore from
-- a backup renews. Only adds: the release before this one takes a row with part 0 of 1 for a journal
-- in one database.
-- compatible_from: 7

ALTER TABLE journal_part
    DROP CONSTRAINT journal_part_check,
    ADD CHECK (parts > part AND parts BETWEEN 1 AND 256),
    ADD COLUMN generation bigint NOT NULL DEFAULT 0 CHECK (generation >= 0),
    ADD COLUMN renewed_at timestamptz NOT NULL DEFAULT to_timestamp(0),
    ADD COLUMN home text NOT NULL DEFAULT '';

COMMENT ON TABLE journal_part IS
    'The identity of the journal, and which part of it this database holds: shard s is here if s % parts = part. An instance whose settings say otherwise does not start.';
COMMENT ON COLUMN journal_part.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN journal_part.generation IS
    'A random number, the same in all databases of the journal, renewed after each restore from a backup; 0 in a journal from before there were generations.';
COMMENT ON COLUMN journal_part.renewed_at IS 'When it was renewed, by the clock of the database; 1970 for never.';
COMMENT ON COLUMN journal_part.home IS
    'The server, its timeline and the database where booking migrate last ran: elsewhere, this is a copy.';

-- A journal that was begun goes on in generation 0, whose queue tokens the release before this one
-- issues and reads. The first 15 digits of a random id are 60 bits.
INSERT INTO journal_part (journal, part, parts, generation)
SELECT gen_random_uuid(), 0, 1,
       CASE WHEN EXISTS (SELECT FROM epochs) THEN 0
            ELSE ('x' || right(replace(gen_random_uuid()::text, '-', ''), 15))::bit(60)::bigint
       END
ON CONFLICT DO NOTHING;
