-- What public events have to know of queues: see booking/schema/0015_public_events.sql. Several
-- consumers write the same, each up to where it is, and read it as it was before their batch.

-- name: draws
SELECT queue, seed, first_number, last_number FROM queue_draws
 WHERE queue = ANY($1::text[]) ORDER BY queue, first_number

-- name: places
SELECT DISTINCT p.queue, p.number, p.user_id::text
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS w (queue, first, last, seq)
  JOIN queue_places AS p ON p.queue = w.queue AND p.number BETWEEN w.first AND w.last
 WHERE p.left_seq IS NULL OR p.left_seq >= w.seq

-- name: join
-- Another user has the number only where the journal lost the first one.
INSERT INTO queue_places AS p (queue, number, user_id)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS new (queue, number, user_id)
 ORDER BY queue, number
ON CONFLICT (queue, number) DO UPDATE SET user_id = excluded.user_id, left_seq = NULL
 WHERE p.user_id <> excluded.user_id

-- name: leave
UPDATE queue_places AS p SET left_seq = new.seq
  FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (queue, number, seq)
 WHERE p.queue = new.queue AND p.number = new.number AND p.left_seq IS DISTINCT FROM new.seq

-- name: draw
INSERT INTO queue_draws (queue, seed, first_number, last_number)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (queue, first_number) DO UPDATE
   SET seed = excluded.seed, last_number = excluded.last_number
