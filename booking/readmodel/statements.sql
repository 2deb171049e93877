-- name: users
-- The queue and the account may tell of a user in either order: the earlier time stays.
INSERT INTO users AS known (id, created_at)
SELECT id::uuid, to_timestamp(at_ms / 1000.0) FROM unnest($1::text[], $2::bigint[]) AS new (id, at_ms)
ON CONFLICT (id) DO UPDATE SET created_at = EXCLUDED.created_at
 WHERE known.created_at > EXCLUDED.created_at

-- name: cash
INSERT INTO cash (user_id, balance, created_at, updated_at)
SELECT id::uuid, balance, to_timestamp(first_ms / 1000.0), to_timestamp(last_ms / 1000.0)
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
       AS new (id, balance, first_ms, last_ms)
ON CONFLICT (user_id) DO UPDATE
   SET balance = EXCLUDED.balance, updated_at = EXCLUDED.updated_at

-- name: cash_history
INSERT INTO cash_history (id, user_id, type, amount, balance, payment_id, created_at)
SELECT id, user_id::uuid, type, amount, balance, payment_id, to_timestamp(at_ms / 1000.0)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[],
              $7::bigint[])
       AS new (id, user_id, type, amount, balance, payment_id, at_ms)

-- name: payments
INSERT INTO payment (id, user_id, seat_reservation_id, seat_id, amount, status, created_at,
                     updated_at)
SELECT id, user_id::uuid, reservation, seat, amount, status, to_timestamp(created_ms / 1000.0),
       to_timestamp(at_ms / 1000.0)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
              $7::text[], $8::bigint[])
       AS new (id, user_id, reservation, seat, amount, created_ms, status, at_ms)

-- name: settled
UPDATE payment AS known
   SET status = new.status, updated_at = to_timestamp(new.at_ms / 1000.0)
  FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (id, status, at_ms)
 WHERE known.id = new.id

-- name: reservations
-- An attempt that was retried after its first hold ended holds under the same id again.
INSERT INTO seat_reservation (id, seat_id, concert_schedule_id, user_id, price, created_at,
                              expires_at, status, updated_at)
SELECT id, seat, schedule, user_id::uuid, price, to_timestamp(created_ms / 1000.0),
       to_timestamp(until_ms / 1000.0), status, to_timestamp(at_ms / 1000.0)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
              $7::bigint[], $8::text[], $9::bigint[])
       AS new (id, seat, schedule, user_id, price, created_ms, until_ms, status, at_ms)
ON CONFLICT (id, seat_id) DO UPDATE
   SET user_id = EXCLUDED.user_id, price = EXCLUDED.price, created_at = EXCLUDED.created_at,
       expires_at = EXCLUDED.expires_at, status = EXCLUDED.status, updated_at = EXCLUDED.updated_at

-- name: ended
UPDATE seat_reservation AS known
   SET status = new.status, updated_at = to_timestamp(new.at_ms / 1000.0)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS new (id, seat, status, at_ms)
 WHERE known.id = new.id AND known.seat_id = new.seat

-- name: seats
UPDATE seat AS known SET is_active = new.is_active
  FROM unnest($1::text[], $2::boolean[]) AS new (id, is_active)
 WHERE known.id = new.id AND known.is_active <> new.is_active

-- name: joined
INSERT INTO waiting_queue (queue, number, user_id, status, created_at, activated_at, expires_at,
                           updated_at)
SELECT queue, number, user_id::uuid, status, to_timestamp(at_ms / 1000.0),
       to_timestamp(active_ms / 1000.0), to_timestamp(until_ms / 1000.0),
       to_timestamp(updated_ms / 1000.0)
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
              $7::text[], $8::bigint[])
       AS new (queue, number, user_id, at_ms, active_ms, until_ms, status, updated_ms)

-- name: drawn
INSERT INTO queue_draw (queue, seed, first_number, last_number)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])

-- name: draws
SELECT queue, seed, first_number, last_number FROM queue_draw
 WHERE queue = ANY($1::text[]) ORDER BY queue, first_number

-- name: admitted
-- But not those who have ended before, in the same batch. Who is waiting is looked up for each range
-- by itself: OFFSET keeps the planner from comparing every range with everybody in the queue.
WITH come AS MATERIALIZED (
    SELECT new.queue, waits.number, new.at_ms, new.until_ms, new.seq
      FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
           AS new (queue, first, last, at_ms, until_ms, seq)
     CROSS JOIN LATERAL (SELECT number FROM waiting_queue AS known
                          WHERE known.queue = new.queue AND known.status = 'PENDING'
                            AND known.number BETWEEN new.first AND new.last OFFSET 0) AS waits
)
UPDATE waiting_queue AS known
   SET status = 'ACTIVE', activated_at = to_timestamp(come.at_ms / 1000.0),
       expires_at = to_timestamp(come.until_ms / 1000.0),
       updated_at = to_timestamp(come.at_ms / 1000.0)
  FROM come
 WHERE known.queue = come.queue AND known.number = come.number
   AND NOT EXISTS (SELECT FROM unnest($7::text[], $8::bigint[], $9::bigint[])
                               AS gone (queue, number, seq)
                    WHERE gone.queue = come.queue AND gone.number = come.number
                      AND gone.seq < come.seq)

-- name: gone
UPDATE waiting_queue AS known
   SET status = new.status, updated_at = to_timestamp(new.at_ms / 1000.0)
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])
       AS new (queue, number, status, at_ms)
 WHERE known.queue = new.queue AND known.number = new.number

-- name: catalogue_version
SELECT version FROM catalogue_version

-- name: dates
SELECT id FROM concert_schedule

-- name: hold_catalogue_version
SELECT version FROM catalogue_version FOR UPDATE

-- name: set_catalogue_version
UPDATE catalogue_version SET version = $1

-- name: put_concerts
INSERT INTO concert (id, name, queue) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, queue = EXCLUDED.queue

-- name: put_schedules
INSERT INTO concert_schedule (id, concert_id, total_seats, open_at, close_at, booking_start,
                              booking_end)
SELECT id, concert_id, total_seats, to_timestamp(open_ms / 1000.0), to_timestamp(close_ms / 1000.0),
       to_timestamp(start_ms / 1000.0), to_timestamp(end_ms / 1000.0)
  FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[],
              $7::bigint[])
       AS new (id, concert_id, total_seats, open_ms, close_ms, start_ms, end_ms)
ON CONFLICT (id) DO UPDATE
   SET total_seats = EXCLUDED.total_seats, open_at = EXCLUDED.open_at,
       close_at = EXCLUDED.close_at, booking_start = EXCLUDED.booking_start,
       booking_end = EXCLUDED.booking_end

-- name: put_seats
INSERT INTO seat AS known (id, concert_schedule_id, seat_number, price, is_active)
SELECT date || '-' || number::text, date, number, price, true
  FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS new (date, number, price)
ON CONFLICT (id) DO UPDATE SET price = EXCLUDED.price WHERE known.price <> EXCLUDED.price

-- name: drop_seats
-- Dates and seats that are not in the catalogue any more. Those had no bookings.
DELETE FROM seat
 WHERE concert_schedule_id = ANY($1::text[])
   AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::integer[]) AS kept (date, number)
                    WHERE kept.date = seat.concert_schedule_id AND kept.number = seat.seat_number)

-- name: drop_schedules
WITH gone AS (
    DELETE FROM concert_schedule WHERE NOT id = ANY($1::text[]) RETURNING id
)
DELETE FROM seat WHERE concert_schedule_id IN (SELECT id FROM gone)

-- name: drop_concerts
DELETE FROM concert WHERE NOT id = ANY($1::text[])

-- name: one_at_a_time
-- IF NOT EXISTS alone lets two at once fail.
SELECT pg_advisory_xact_lock($1)

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS {schema}

-- name: has_offsets
SELECT to_regclass($1) IS NOT NULL

-- name: hold_offsets
LOCK TABLE {schema}.consumer_offsets

-- name: swap
DROP SCHEMA {schema} CASCADE;
ALTER SCHEMA {next} RENAME TO {schema}
