-- name: version
-- The number that every change raises; what instances poll.
SELECT version FROM catalogue_version

-- name: lock_version
-- Imports one after the other.
SELECT version FROM catalogue_version FOR UPDATE

-- name: raise_version
-- Once in every transaction that changes anything.
UPDATE catalogue_version SET version = version + 1 RETURNING version

-- name: schedules
-- All dates with their seats, in the order of the catalogue. One pass over the seats' unique index
-- order, aggregated on the server: 12,000 seats in one round trip.
SELECT s.id, s.concert_id, c.name AS concert_name, c.queue,
       coalesce(s.venue, '') AS venue, s.blocked, s.max_per_user,
       floor(extract(epoch FROM s.open_at) * 1000)::bigint AS open_ms,
       floor(extract(epoch FROM s.close_at) * 1000)::bigint AS close_ms,
       floor(extract(epoch FROM s.booking_start) * 1000)::bigint AS booking_start_ms,
       floor(extract(epoch FROM s.booking_end) * 1000)::bigint AS booking_end_ms,
       coalesce(p.numbers, '{}') AS numbers, coalesce(p.prices, '{}') AS prices
  FROM concert_schedule s
  JOIN concert c ON c.id = s.concert_id
  LEFT JOIN (SELECT schedule_id, array_agg(number ORDER BY number) AS numbers,
               array_agg(price ORDER BY number) AS prices
          FROM seat GROUP BY schedule_id) p ON p.schedule_id = s.id
 ORDER BY s.open_at, s.id COLLATE "C"

-- name: concerts
-- Names and queues of all concerts, also of those without dates.
SELECT id, name, queue FROM concert ORDER BY id COLLATE "C"

-- name: venues
-- Each as its document.
SELECT id, document FROM venue ORDER BY id COLLATE "C"

-- name: put_venue
INSERT INTO venue (id, document) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET document = EXCLUDED.document

-- name: put_concert
INSERT INTO concert (id, name, queue) VALUES (:id, :name, :queue)
ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, queue = EXCLUDED.queue

-- name: put_schedule
-- A date never changes its concert (refused before).
INSERT INTO concert_schedule
       (id, concert_id, total_seats, open_at, close_at, booking_start, booking_end, venue, blocked,
        max_per_user)
VALUES (:id, :concert_id, :total_seats, :open_at, :close_at, :booking_start, :booking_end,
        nullif(:venue, ''), :blocked, :max_per_user)
ON CONFLICT (id) DO UPDATE
   SET total_seats = EXCLUDED.total_seats, open_at = EXCLUDED.open_at,
       close_at = EXCLUDED.close_at, booking_start = EXCLUDED.booking_start,
       booking_end = EXCLUDED.booking_end, venue = EXCLUDED.venue, blocked = EXCLUDED.blocked,
       max_per_user = EXCLUDED.max_per_user

-- name: drop_seats
-- Before the new ones of these dates are copied in.
DELETE FROM seat WHERE schedule_id = ANY($1::text[])

-- name: drop_schedules
DELETE FROM concert_schedule WHERE id = ANY($1::text[])

-- name: journaled
-- Which of these dates have events: every event of a seat has its counterpart in the date's ledger,
-- so one look at the ledger tells. One whose events are all archived has a snapshot.
SELECT d.id
  FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::text[])
       AS d (id, shard, entity, ledger)
 WHERE EXISTS (SELECT FROM journal j WHERE j.entity = d.entity AND j.address = d.ledger)
    OR EXISTS (SELECT FROM snapshots s WHERE s.shard = d.shard AND s.address = d.ledger)

-- name: now_ms
-- When seats are blocked, by the clock that the journal's times follow.
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: taken
-- Which of these seats are held or sold, by the last event of each. One whose events are all
-- archived has a snapshot, and counts as sold.
SELECT s.seat
  FROM unnest($1::smallint[], $2::bigint[], $3::text[]) AS s (shard, entity, seat)
 WHERE coalesce(
         (SELECT j.type FROM journal j
           WHERE j.entity = s.entity AND j.address = s.seat
           ORDER BY j.seq DESC LIMIT 1),
         (SELECT 'SeatSold' FROM snapshots p
           WHERE p.shard = s.shard AND p.address = s.seat)
       ) IN ('SeatHeld', 'SeatSold')
