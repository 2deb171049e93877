-- How many seats of a date one user may have. Only adds: the release before this one names its columns.
-- compatible_from: 7

ALTER TABLE concert_schedule
    ADD COLUMN max_per_user integer NOT NULL DEFAULT 0 CHECK (max_per_user BETWEEN 0 AND 1000);

COMMENT ON COLUMN concert_schedule.max_per_user IS
    'Seats of the date that one user may hold and own together; 0: as many as may be held at a time.';
