-- Heartbeats for while Redis is out of reach, and how far a plan got that has ended. Only adds.
-- compatible_from: 6

CREATE TABLE instance_beats (
    instance text        PRIMARY KEY,
    member   text        NOT NULL,
    beat_at  timestamptz NOT NULL DEFAULT now(),
    ends_at  timestamptz NOT NULL
) WITH (fillfactor = 10);

COMMENT ON TABLE instance_beats IS
    'Instances that say here that they live, because they cannot say it in Redis. Empty in quiet times.';
COMMENT ON COLUMN instance_beats.instance IS 'The name of the instance.';
COMMENT ON COLUMN instance_beats.member IS 'What it says of itself, as it would say it in Redis: a JSON object.';
COMMENT ON COLUMN instance_beats.beat_at IS 'When it said so last, by the clock of the database.';
COMMENT ON COLUMN instance_beats.ends_at IS 'When that is forgotten, by the clock of the database.';

ALTER TABLE plans
    ADD COLUMN outcome json;

COMMENT ON COLUMN plans.outcome IS
    'How many moves were made and how many were left, and which could not be made, when the plan ended; null before, and for plans that ended under earlier releases.';
