-- Outcomes in three segments of a day each, of which the oldest is emptied whole. The table of before
-- is their parent: whoever reads it reads all of them, and a program of the release before this one
-- goes on to write its own rows into it.
-- compatible_from: 7

CREATE FUNCTION keep_outcome() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';

COMMENT ON FUNCTION keep_outcome() IS
    'No outcome is deleted as a row. The release before this one tries to, by places in a table that may be another one''s.';

CREATE TABLE outcomes_0 (PRIMARY KEY (shard, command)) INHERITS (outcomes)
    WITH (autovacuum_vacuum_insert_threshold = -1);
CREATE TABLE outcomes_1 (PRIMARY KEY (shard, command)) INHERITS (outcomes)
    WITH (autovacuum_vacuum_insert_threshold = -1);
CREATE TABLE outcomes_2 (PRIMARY KEY (shard, command)) INHERITS (outcomes)
    WITH (autovacuum_vacuum_insert_threshold = -1);

CREATE TRIGGER kept BEFORE DELETE ON outcomes FOR EACH ROW EXECUTE FUNCTION keep_outcome();
CREATE TRIGGER kept BEFORE DELETE ON outcomes_0 FOR EACH ROW EXECUTE FUNCTION keep_outcome();
CREATE TRIGGER kept BEFORE DELETE ON outcomes_1 FOR EACH ROW EXECUTE FUNCTION keep_outcome();
CREATE TRIGGER kept BEFORE DELETE ON outcomes_2 FOR EACH ROW EXECUTE FUNCTION keep_outcome();

COMMENT ON TABLE outcomes IS
    'Replies to commands that carry a key, written with their events, so that a repeat gets the first reply. Reads as all segments; its own rows are those of a release that knew of none.';
COMMENT ON TABLE outcomes_0 IS 'A segment of outcomes: a day or more of them, emptied whole.';
COMMENT ON TABLE outcomes_1 IS 'A segment of outcomes: a day or more of them, emptied whole.';
COMMENT ON TABLE outcomes_2 IS 'A segment of outcomes: a day or more of them, emptied whole.';

CREATE VIEW outcomes_current AS SELECT * FROM outcomes_0;

COMMENT ON VIEW outcomes_current IS 'The segment that outcomes are written to.';

-- One row.
CREATE TABLE outcome_turn (
    only_row  boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    segment   smallint    NOT NULL DEFAULT 0 CHECK (segment BETWEEN 0 AND 2),
    turned_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE outcome_turn IS 'Which segment outcomes are written to, and since when.';
COMMENT ON COLUMN outcome_turn.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN outcome_turn.segment IS 'The number in the name of the segment.';
COMMENT ON COLUMN outcome_turn.turned_at IS 'Since when, by the clock of the database.';

INSERT INTO outcome_turn DEFAULT VALUES;

CREATE FUNCTION turn_outcomes(every interval) RETURNS boolean LANGUAGE plpgsql
-- Less than deadlock_timeout: of two who wait for each other, this one gives up.
SET lock_timeout = '200ms' AS $$
DECLARE
    next smallint;
BEGIN
    -- A clock that was ahead for a while delays nothing.
    UPDATE outcome_turn SET turned_at = clock_timestamp() WHERE turned_at > clock_timestamp();
    SELECT (segment + 1) % 3 INTO next FROM outcome_turn
    WHERE turned_at <= clock_timestamp() - every
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- First of all: every reader and writer takes this lock before those of the segments.
    LOCK TABLE outcomes IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('TRUNCATE ONLY outcomes_%s', next);
    EXECUTE format('CREATE OR REPLACE VIEW outcomes_current AS SELECT * FROM outcomes_%s', next);
    IF NOT EXISTS (SELECT FROM ONLY outcomes
                   WHERE at_ms > extract(epoch FROM clock_timestamp() - 2 * every) * 1000) THEN
        TRUNCATE ONLY outcomes;
    END IF;
    UPDATE outcome_turn SET segment = next, turned_at = clock_timestamp();
    RETURN true;
END
$$;

COMMENT ON FUNCTION turn_outcomes(interval) IS
    'Empties the oldest segment and has outcomes written to it from then on, unless that was done less than so long ago.';
