-- name: now_ms
-- The database's clock, for what may still be on its way.
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: rows
-- The whole journal in the order it was written within each shard. Read through a cursor.
SELECT shard, seq, epoch, entity, at_ms, version, address, type, payload
  FROM journal
 ORDER BY shard, seq

-- name: shards
SELECT shard, epoch FROM shards ORDER BY shard

-- name: epochs
SELECT shard, epoch, incarnation FROM epochs ORDER BY shard, epoch

-- name: snapshot_ends
-- The last row that each shard's snapshots know of: the journal must still have it.
SELECT shard, max(seq) AS seq FROM snapshots GROUP BY shard ORDER BY shard

-- name: unmatched_sales
-- Sales without their completed payment and the other way round. Only run when the sums of both
-- differ. Payments in $1 are still under way. Copies of one row are told apart by a count.
WITH sold AS (
    SELECT shard, seq, address, payload->>'payment' AS payment, payload->>'user' AS payer,
           payload->>'reservation' AS reservation, payload->>'price' AS price,
           row_number() OVER (PARTITION BY payload->>'payment' ORDER BY shard, seq) AS copy
      FROM journal WHERE type = 'SeatSold'
), completed AS (
    SELECT shard, seq, address, payload->>'id' AS payment, substr(address, 9) AS payer,
           payload->>'reservation' AS reservation, payload->>'amount' AS price,
           'seat/' || (payload->>'schedule') || '/' || (payload->>'seat') AS seat,
           row_number() OVER (PARTITION BY payload->>'id' ORDER BY shard, seq) AS copy
      FROM journal WHERE type = 'PaymentCompleted'
)
SELECT coalesce(s.shard, c.shard) AS shard, coalesce(s.seq, c.seq) AS seq,
       coalesce(s.address, c.address) AS address, coalesce(s.payment, c.payment) AS payment,
       s.seq IS NOT NULL AS sold
  FROM sold s
  FULL JOIN completed c
    ON (s.payment, s.payer, s.reservation, s.price, s.address, s.copy)
     = (c.payment, c.payer, c.reservation, c.price, c.seat, c.copy)
 WHERE c.seq IS NULL AND NOT s.payment = ANY ($1::text[]) OR s.seq IS NULL
 ORDER BY 1, 2

-- name: unmatched_reservations
-- Reservations in accounts that no seat was held for. Only run when the sums of both differ. A hold
-- without its reservation is none: a crash came between, and the hold expires.
SELECT n.shard, n.seq, n.address, n.payload->>'id' AS reservation
  FROM journal n
 WHERE n.type = 'ReservationNoted'
   AND NOT EXISTS (
       SELECT FROM journal h
        WHERE h.type = 'SeatHeld'
          AND h.address = 'seat/' || (n.payload->>'schedule') || '/' || (n.payload->>'seat')
          AND h.payload->>'reservation' = n.payload->>'id'
          AND h.payload->>'user' = substr(n.address, 9)
          AND h.payload->>'price' = n.payload->>'price'
          AND h.payload->>'held_at_ms' = n.payload->>'created_ms'
          AND h.payload->>'until_ms' = n.payload->>'until_ms')
 ORDER BY 1, 2
