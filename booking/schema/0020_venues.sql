-- Venues with their plans, where a date is, and its seats that are not for sale. Only adds: a program
-- of the release before this one names its columns. It finds no row of `seat` for a blocked seat, and
-- so sells none.
-- compatible_from: 7

CREATE TABLE venue (
    id       text PRIMARY KEY CHECK (id ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    document json NOT NULL
);

COMMENT ON TABLE venue IS 'Houses that dates take place in. Written only by catalogue imports.';
COMMENT ON COLUMN venue.document IS
    'Name, city, time zone and plan, as docs/reference/catalogue.md tells, in normal form.';

ALTER TABLE concert_schedule
    ADD COLUMN venue text REFERENCES venue (id),
    ADD COLUMN blocked json NOT NULL DEFAULT '[]';

COMMENT ON COLUMN concert_schedule.venue IS 'Where it is, and whose plan numbers its seats; null: nobody said.';
COMMENT ON COLUMN concert_schedule.blocked IS
    'Seats that are not for sale: [first, last, price, reason, blocked since (ms)]. They have no row in seat.';
