-- name: now_ms
-- The database's clock, for what may still be on its way.
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: concerts
-- The concert of each date.
SELECT id, concert_id FROM concert_schedule

-- name: has_archive
SELECT to_regclass('journal_0')

-- name: archived
-- How many rows are archived.
SELECT sum(seq)::bigint FROM journal_0

-- name: journal_name
SELECT journal FROM journal_part

-- name: archives
-- Which segments are archived, and what their manifests have to be.
SELECT segment, manifest FROM journal_segments WHERE archived_at IS NOT NULL

-- name: rows
-- The whole journal in the order it was written within each shard. Read through a cursor.
SELECT shard, seq, epoch, entity, at_ms, version, address, type, payload
  FROM journal
 {where}
 ORDER BY shard, seq

-- name: entity_rows
-- One entity's rows in their order. By the index on its hash; two addresses may share one, so the
-- address counts.
SELECT seq, at_ms, version, type, payload
  FROM journal
 WHERE entity = $1 AND address = $2
 ORDER BY seq

-- name: shards
SELECT shard, epoch FROM shards ORDER BY shard

-- name: has_losses
SELECT to_regclass('losses')

-- name: losses
-- Committed rows that the journal no longer has.
SELECT shard, seq, kept_seq, entities, instance, noticed_at AT TIME ZONE 'UTC' AS noticed_at,
       accepted_at, accepted_by
  FROM losses
 ORDER BY shard, id

-- name: has_venues
SELECT to_regclass('venue')

-- name: blocked
SELECT id, blocked FROM concert_schedule WHERE blocked::text <> '[]'

-- name: held_since
-- Holds of these seats after a moment of each. By the index on the entity's hash.
SELECT j.shard, j.seq, j.address, j.at_ms
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS s (entity, seat, since_ms)
  JOIN journal j ON j.entity = s.entity AND j.address = s.seat
 WHERE j.type = 'SeatHeld' AND j.at_ms > s.since_ms
 ORDER BY j.shard, j.seq

-- name: epochs
SELECT shard, epoch, incarnation FROM epochs ORDER BY shard, epoch

-- name: snapshot_ends
-- The last row that each shard's snapshots know of: the journal must still have it.
SELECT shard, max(seq) AS seq FROM snapshots GROUP BY shard ORDER BY shard

-- name: give_up_after
-- Waiting for the lock below would make everybody wait who comes later.
SELECT set_config('lock_timeout', $1::text, true)

-- name: hold_appends
-- Appends and claims wait while this is held, so that the snapshots of several databases can be of
-- one moment. Readers do not notice.
LOCK TABLE shards IN EXCLUSIVE MODE

-- name: sold
-- Who differs is only asked when the sums of two books differ. Each row as a name and a fact that
-- the other book spells the same.
SELECT shard, seq, address, payload->>'payment' AS name,
       concat_ws(' ', payload->>'payment', payload->>'user', payload->>'reservation',
                 payload->>'price', address) AS fact
  FROM journal WHERE type = 'SeatSold'
 ORDER BY shard, seq

-- name: completed
-- The other side of "sold", a row for each seat.
SELECT shard, seq, address, payload->>'id' AS name,
       concat_ws(' ', payload->>'id', substr(address, 9), item->>0, item->>2,
                 'seat/' || (payload->>'schedule') || '/' || (item->>1)) AS fact
  FROM journal, jsonb_array_elements(coalesce(payload::jsonb->'items', jsonb_build_array(
       jsonb_build_array(payload->'reservation', payload->'seat', payload->'amount')))) AS item
 WHERE type = 'PaymentCompleted'
 ORDER BY shard, seq

-- name: held
-- A hold without its reservation is none: a crash came between, and the hold expires.
SELECT shard, seq, address, payload->>'reservation' AS name,
       concat_ws(' ', payload->>'reservation', payload->>'user', payload->>'price',
                 payload->>'held_at_ms', payload->>'until_ms', address) AS fact
  FROM journal WHERE type = 'SeatHeld'
 ORDER BY shard, seq

-- name: noted
-- The other side of "held": reservations in accounts, but for those noted while their hold was on
-- its way, which a crash may have lost.
SELECT shard, seq, address, payload->>'id' AS name,
       concat_ws(' ', payload->>'id', substr(address, 9), payload->>'price',
                 payload->>'created_ms', payload->>'until_ms',
                 'seat/' || (payload->>'schedule') || '/' || (payload->>'seat')) AS fact
  FROM journal WHERE type = 'ReservationNoted' AND payload->>'beside' IS NULL
 ORDER BY shard, seq
