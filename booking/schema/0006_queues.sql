-- A queue of its own for each concert that wants one. Only adds: a program of the release before
-- this one names its columns and takes every concert for one of the house's queue.

ALTER TABLE concert
    ADD COLUMN queue text NOT NULL DEFAULT 'main'
        CHECK (queue ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$');

COMMENT ON COLUMN concert.queue IS 'The queue whose tokens open this concert''s dates; main is the house''s.';
