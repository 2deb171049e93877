-- What the journal says, as the tables that a reader of a ticket office expects. A consumer writes
-- them; nothing else does. There are no foreign keys: shards are followed side by side, and a row may
-- be there a moment before the one that it names. A column `seat_id` names a row of `seat`, and so on.

CREATE TABLE users (
    id         uuid        PRIMARY KEY,
    created_at timestamptz NOT NULL
);

COMMENT ON TABLE users IS 'Everybody whose id was used once. There is no sign-up.';
COMMENT ON COLUMN users.id IS 'As clients send it.';
COMMENT ON COLUMN users.created_at IS 'The first event of the user''s account or place in a queue.';

CREATE TABLE cash (
    user_id    uuid        PRIMARY KEY,
    id         uuid        NOT NULL GENERATED ALWAYS AS (user_id) STORED,
    balance    bigint      NOT NULL CHECK (balance >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 80);

COMMENT ON TABLE cash IS 'The balance of each user who ever charged.';
COMMENT ON COLUMN cash.user_id IS 'Whose it is.';
COMMENT ON COLUMN cash.id IS 'The user''s id: an account has no other.';
COMMENT ON COLUMN cash.balance IS 'In won. Money of a payment under way is not in it.';
COMMENT ON COLUMN cash.created_at IS 'The first movement.';
COMMENT ON COLUMN cash.updated_at IS 'The last movement.';

CREATE TABLE cash_history (
    id         text        PRIMARY KEY,
    user_id    uuid        NOT NULL,
    type       text        NOT NULL CHECK (type IN ('CHARGE', 'USE', 'REFUND')),
    amount     bigint      NOT NULL,
    balance    bigint      NOT NULL,
    payment_id text,
    created_at timestamptz NOT NULL
);

COMMENT ON TABLE cash_history IS 'Every movement of money.';
COMMENT ON COLUMN cash_history.id IS 'Shard and seq of the event.';
COMMENT ON COLUMN cash_history.user_id IS 'Whose money.';
COMMENT ON COLUMN cash_history.type IS 'CHARGE, USE (a payment) or REFUND (of a payment that failed).';
COMMENT ON COLUMN cash_history.amount IS 'In won, above zero.';
COMMENT ON COLUMN cash_history.balance IS 'Afterwards.';
COMMENT ON COLUMN cash_history.payment_id IS 'The payment; null for a charge.';
COMMENT ON COLUMN cash_history.created_at IS 'When it was decided.';

CREATE TABLE waiting_queue (
    queue        text        NOT NULL,
    number       bigint      NOT NULL,
    id           text        NOT NULL GENERATED ALWAYS AS (queue || '-' || number::text) STORED,
    user_id      uuid        NOT NULL,
    status       text        NOT NULL
        CHECK (status IN ('PENDING', 'ACTIVE', 'USED', 'EXPIRED', 'LEFT', 'SILENT')),
    created_at   timestamptz NOT NULL,
    activated_at timestamptz,
    expires_at   timestamptz,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (queue, number)
) WITH (fillfactor = 80);

COMMENT ON TABLE waiting_queue IS 'Every place in a queue that was ever given out. Tokens are signed, and stored nowhere.';
COMMENT ON COLUMN waiting_queue.queue IS 'The name of the queue.';
COMMENT ON COLUMN waiting_queue.number IS 'In the order of coming.';
COMMENT ON COLUMN waiting_queue.id IS 'Queue and number.';
COMMENT ON COLUMN waiting_queue.user_id IS 'Who waits.';
COMMENT ON COLUMN waiting_queue.status IS 'PENDING, ACTIVE, or how it ended: USED by a payment, EXPIRED, LEFT, or SILENT for too long.';
COMMENT ON COLUMN waiting_queue.created_at IS 'Lined up.';
COMMENT ON COLUMN waiting_queue.activated_at IS 'Came in; null before.';
COMMENT ON COLUMN waiting_queue.expires_at IS 'Until when one may stay inside; null before.';
COMMENT ON COLUMN waiting_queue.updated_at IS 'The last change.';

CREATE TABLE concert (
    id    text PRIMARY KEY,
    name  text NOT NULL,
    queue text NOT NULL
);

COMMENT ON TABLE concert IS 'Concerts of the catalogue that have dates.';
COMMENT ON COLUMN concert.id IS 'As in the catalogue.';
COMMENT ON COLUMN concert.name IS 'For people.';
COMMENT ON COLUMN concert.queue IS 'The queue whose tokens open its dates.';

CREATE TABLE concert_schedule (
    id            text        PRIMARY KEY,
    concert_id    text        NOT NULL,
    total_seats   integer     NOT NULL,
    open_at       timestamptz NOT NULL,
    close_at      timestamptz NOT NULL,
    booking_start timestamptz NOT NULL,
    booking_end   timestamptz NOT NULL
);

COMMENT ON TABLE concert_schedule IS 'The dates of concerts.';
COMMENT ON COLUMN concert_schedule.id IS 'As in the catalogue.';
COMMENT ON COLUMN concert_schedule.concert_id IS 'The concert.';
COMMENT ON COLUMN concert_schedule.total_seats IS 'How many seats it has.';
COMMENT ON COLUMN concert_schedule.open_at IS 'The date begins.';
COMMENT ON COLUMN concert_schedule.close_at IS 'The date ends.';
COMMENT ON COLUMN concert_schedule.booking_start IS 'Seats can be held from here.';
COMMENT ON COLUMN concert_schedule.booking_end IS 'Seats can be held until just before.';

CREATE TABLE seat (
    id                  text    PRIMARY KEY,
    concert_schedule_id text    NOT NULL,
    seat_number         integer NOT NULL,
    price               bigint  NOT NULL,
    is_active           boolean NOT NULL
) WITH (fillfactor = 80);

-- The seats of a date, and what goes when a date does.
CREATE INDEX seat_schedule ON seat (concert_schedule_id, seat_number);

COMMENT ON TABLE seat IS 'The seats of all dates.';
COMMENT ON COLUMN seat.id IS 'Date and number, as clients know it.';
COMMENT ON COLUMN seat.concert_schedule_id IS 'The date.';
COMMENT ON COLUMN seat.seat_number IS 'From 1.';
COMMENT ON COLUMN seat.price IS 'In won.';
COMMENT ON COLUMN seat.is_active IS 'Free: neither held nor sold.';

CREATE TABLE seat_reservation (
    id                  text        NOT NULL,
    seat_id             text        NOT NULL,
    concert_schedule_id text        NOT NULL,
    user_id             uuid        NOT NULL,
    status              text        NOT NULL
        CHECK (status IN ('PENDING', 'COMPLETED', 'EXPIRED', 'CANCELLED')),
    price               bigint      NOT NULL,
    created_at          timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    PRIMARY KEY (id, seat_id)
);

COMMENT ON TABLE seat_reservation IS 'Every hold of a seat, as the seat decided. One key used for two seats at once may give both one id for some milliseconds.';
COMMENT ON COLUMN seat_reservation.id IS 'As clients know it.';
COMMENT ON COLUMN seat_reservation.seat_id IS 'The seat.';
COMMENT ON COLUMN seat_reservation.concert_schedule_id IS 'Its date.';
COMMENT ON COLUMN seat_reservation.user_id IS 'Who holds it.';
COMMENT ON COLUMN seat_reservation.status IS 'PENDING, COMPLETED (paid), EXPIRED or CANCELLED (given up).';
COMMENT ON COLUMN seat_reservation.price IS 'In won.';
COMMENT ON COLUMN seat_reservation.created_at IS 'Held from.';
COMMENT ON COLUMN seat_reservation.expires_at IS 'The hold ends here unless it is paid.';
COMMENT ON COLUMN seat_reservation.updated_at IS 'The last change.';

CREATE TABLE payment (
    id                  text        PRIMARY KEY,
    user_id             uuid        NOT NULL,
    seat_reservation_id text        NOT NULL,
    seat_id             text        NOT NULL,
    amount              bigint      NOT NULL,
    status              text        NOT NULL CHECK (status IN ('PENDING', 'COMPLETED', 'REFUNDED')),
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
) WITH (fillfactor = 80);

COMMENT ON TABLE payment IS 'Every payment that was begun.';
COMMENT ON COLUMN payment.id IS 'As clients know it.';
COMMENT ON COLUMN payment.user_id IS 'Who pays.';
COMMENT ON COLUMN payment.seat_reservation_id IS 'What for.';
COMMENT ON COLUMN payment.seat_id IS 'The seat.';
COMMENT ON COLUMN payment.amount IS 'In won.';
COMMENT ON COLUMN payment.status IS 'PENDING, COMPLETED, or REFUNDED: the hold had ended.';
COMMENT ON COLUMN payment.created_at IS 'Begun: the money was taken.';
COMMENT ON COLUMN payment.updated_at IS 'The last change.';

CREATE TABLE queue_draw (
    queue        text   NOT NULL,
    first_number bigint NOT NULL,
    last_number  bigint NOT NULL,
    seed         text   NOT NULL,
    PRIMARY KEY (queue, first_number)
);

COMMENT ON TABLE queue_draw IS 'Draws of openings: who came before one is admitted in the order that its seed gives.';
COMMENT ON COLUMN queue_draw.queue IS 'The name of the queue.';
COMMENT ON COLUMN queue_draw.first_number IS 'The first number that was drawn.';
COMMENT ON COLUMN queue_draw.last_number IS 'The last one.';
COMMENT ON COLUMN queue_draw.seed IS 'Decides the order, as docs/explanation/queue.md says.';

-- One row, written in the transaction that brings the catalogue's tables up to it.
CREATE TABLE catalogue_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL
);

COMMENT ON TABLE catalogue_version IS 'Which version of the catalogue concert, concert_schedule and seat are of.';
COMMENT ON COLUMN catalogue_version.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN catalogue_version.version IS 'As in the table of the same name beside the journal.';

INSERT INTO catalogue_version (version) VALUES (-1);
