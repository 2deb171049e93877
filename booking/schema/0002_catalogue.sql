-- The catalogue: concerts, their dates, and the seats of a date with their prices.
-- Written only by catalogue imports, read by every instance; which seat is whose is in the journal.

CREATE TABLE concert (
    id   text PRIMARY KEY CHECK (id ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200)
);

CREATE TABLE concert_schedule (
    id            text PRIMARY KEY CHECK (id ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    concert_id    text NOT NULL REFERENCES concert (id),
    total_seats   integer NOT NULL CHECK (total_seats BETWEEN 1 AND 100000),
    open_at       timestamptz NOT NULL CHECK (open_at >= '2000-01-01 00:00:00+00'),
    close_at      timestamptz NOT NULL CHECK (close_at < '3000-01-01 00:00:00+00'),
    booking_start timestamptz NOT NULL CHECK (booking_start >= '2000-01-01 00:00:00+00'),
    booking_end   timestamptz NOT NULL,
    CHECK (open_at < close_at),
    CHECK (booking_start < booking_end),
    CHECK (booking_end <= close_at)
);

CREATE INDEX concert_schedule_concert ON concert_schedule (concert_id);

-- The id is what clients know a seat by: the date's id, a dash, the number.
CREATE TABLE seat (
    id          text PRIMARY KEY,
    schedule_id text NOT NULL REFERENCES concert_schedule (id) ON DELETE CASCADE,
    number      integer NOT NULL CHECK (number BETWEEN 1 AND 999999999),
    price       bigint NOT NULL CHECK (price BETWEEN 0 AND 1000000000),
    CHECK (id = schedule_id || '-' || number::text),
    UNIQUE (schedule_id, number)
);

-- One row. Raised in the transaction of every change, so that instances notice by reading one number.
CREATE TABLE catalogue_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL CHECK (version >= 0)
);

INSERT INTO catalogue_version (version) VALUES (0);
