-- What `booking audit --follow` asks. Each statement is a transaction of its own and reads a bounded
-- number of rows, so that nothing holds back vacuum.

-- name: offsets
SELECT shard, floor(extract(epoch FROM checked_at) * 1000)::bigint, seq, epoch, at_ms
  FROM audit_offsets

-- name: page
-- The next rows of each shard, and before them the row at its offset, which shows that the past is
-- as it was. One step down the primary key for each shard.
SELECT j.shard, j.seq, j.epoch, j.entity, j.at_ms, j.version, j.address, j.type, j.payload
  FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS w (shard, seq, rows)
 CROSS JOIN LATERAL (
       SELECT * FROM journal WHERE shard = w.shard AND seq >= w.seq ORDER BY seq LIMIT w.rows
       ) AS j
 ORDER BY j.shard, j.seq

-- name: history
-- The rows of these entities between two of them, so many at most of each.
SELECT w.place, j.seq, j.at_ms, j.version, j.type, j.payload
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[])
       WITH ORDINALITY AS w (entity, address, after, before, place)
 CROSS JOIN LATERAL (
       SELECT *
         FROM journal
        WHERE entity = w.entity AND seq > w.after AND seq < w.before AND address = w.address
        ORDER BY seq
        LIMIT $5
       ) AS j
 ORDER BY w.place, j.seq

-- name: leases
-- The last epoch of these shards, and who claimed these epochs.
SELECT s.shard, s.epoch AS last, e.epoch, e.incarnation
  FROM shards AS s
  LEFT JOIN epochs AS e ON e.shard = s.shard AND e.epoch = ANY($2::bigint[])
 WHERE s.shard = ANY($1::smallint[])

-- name: before_epoch
-- The last row of an earlier epoch.
SELECT seq, epoch, at_ms
  FROM journal
 WHERE shard = $1 AND epoch < $2 AND seq < $3
 ORDER BY seq DESC
 LIMIT 1

-- name: store
-- Where to go on. A row that is not there any more is no place to go on from.
INSERT INTO audit_offsets (shard, seq, epoch, at_ms, checked_at)
SELECT j.shard, j.seq, j.epoch, j.at_ms, to_timestamp(w.checked_ms / 1000.0)
  FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS w (shard, seq, checked_ms)
  JOIN journal AS j ON j.shard = w.shard AND j.seq = w.seq
    ON CONFLICT (shard) DO UPDATE
   SET seq = excluded.seq, epoch = excluded.epoch, at_ms = excluded.at_ms,
       checked_at = excluded.checked_at

-- name: note_violation
-- A line of the operators' trail, unless a run before has written it: after a restart the last rows
-- are read again.
INSERT INTO operator_log (who, what, detail)
SELECT 'audit', 'violation', $1::json
 WHERE NOT EXISTS (
       SELECT FROM operator_log WHERE what = 'violation' AND detail::text = $1::text
       )
RETURNING id
