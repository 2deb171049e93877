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
-- Another user has the number only where the journal lost the first one. A place of before the end,
-- if it is not here, was left by then: it comes back for who tells the past again, and for nobody who
-- is past the end.
INSERT INTO queue_places AS p (queue, number, user_id, left_seq)
SELECT new.queue, new.number, new.user_id, e.seq
  FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::bigint[])
       AS new (queue, number, user_id, joined_seq)
  LEFT JOIN queue_ends AS e ON e.queue = new.queue AND e.seq >= new.joined_seq
 ORDER BY new.queue, new.number
ON CONFLICT (queue, number) DO UPDATE SET user_id = excluded.user_id, left_seq = NULL
 WHERE p.user_id <> excluded.user_id

-- name: leave
UPDATE queue_places AS p SET left_seq = new.seq
  FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS new (queue, number, seq)
 WHERE p.queue = new.queue AND p.number = new.number AND p.left_seq IS DISTINCT FROM new.seq

-- name: queues
-- Each by its first place: one step down the primary key for each.
WITH RECURSIVE q (queue) AS (
    (SELECT queue FROM queue_places ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT p.queue FROM queue_places AS p WHERE p.queue > q.queue ORDER BY p.queue LIMIT 1)
      FROM q WHERE q.queue IS NOT NULL
)
SELECT queue FROM q WHERE queue IS NOT NULL

-- name: end
INSERT INTO queue_ends (queue, seq) VALUES ($1, $2)
ON CONFLICT (queue) DO UPDATE SET seq = greatest(queue_ends.seq, excluded.seq)

-- name: forget
DELETE FROM queue_places WHERE queue = $1 AND left_seq <= $2

-- name: draw
INSERT INTO queue_draws (queue, seed, first_number, last_number)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (queue, first_number) DO UPDATE
   SET seed = excluded.seed, last_number = excluded.last_number
