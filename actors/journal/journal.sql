-- What the journal asks besides appending. Every statement is a transaction of its own.

-- name: claim
-- Takes over the shards whose epoch is the one seen (and, if asked, only those that should be this
-- owner's), and remembers the claim. Locks in order of shards, as the append does; a row changed
-- while this waited is checked again in its new version. A database that is still without the column
-- "desired" can be claimed from as well, hence the detour over JSON.
WITH locked AS (
    SELECT s.shard
    FROM shards AS s
    JOIN unnest(:shards::smallint[], :seen::bigint[]) AS w (shard, epoch)
      ON s.shard = w.shard AND s.epoch = w.epoch
    WHERE NOT :only_desired::boolean OR to_jsonb(s) ->> 'desired' = :owner::text
    ORDER BY s.shard
    FOR UPDATE OF s
), claimed AS (
    UPDATE shards AS s
    SET epoch = s.epoch + 1, owner = :owner::text, incarnation = :incarnation::text,
        claimed_at = now()
    FROM locked AS l
    WHERE s.shard = l.shard
    RETURNING s.shard, s.epoch, s.owner, s.incarnation, s.claimed_at
), remembered AS (
    INSERT INTO epochs (shard, epoch, owner, incarnation, claimed_at)
    SELECT shard, epoch, owner, incarnation, claimed_at FROM claimed
)
SELECT shard, epoch FROM claimed

-- name: last_seqs
-- Where each shard ends: one step down its primary key. Asked after the claim has committed, never
-- in its statement: that statement's snapshot is older than its row locks, and an append of the
-- last owner may commit between the two. After the claim no append of an older epoch can commit,
-- so this sees all there will ever be of them.
SELECT w.shard, last.seq, last.at_ms
FROM unnest(:shards::smallint[]) AS w (shard)
CROSS JOIN LATERAL (
    SELECT j.seq, j.at_ms FROM journal AS j WHERE j.shard = w.shard ORDER BY j.seq DESC LIMIT 1
) AS last

-- name: load
-- The stored state of each of these entities, if there is one, and the first events above it, oldest
-- first. One statement, because a cold entity costs mostly the way to the server and back.
WITH k AS MATERIALIZED (
    SELECT w.place, w.shard, w.entity, w.address, s.seq, s.epoch, s.state,
           CASE WHEN s.pages_seq = s.seq THEN s.pages ELSE 0 END AS pages
    FROM unnest(:shards::smallint[], :entities::bigint[], :addresses::text[])
         WITH ORDINALITY AS w (shard, entity, address, place)
    LEFT JOIN snapshots AS s
      ON :with_snapshots::boolean AND s.shard = w.shard AND s.address = w.address
)
SELECT k.place, k.shard, k.seq, k.epoch, k.state,
       NULL::text AS type, NULL::smallint AS version, NULL::text AS payload,
       NULL::bigint AS at_ms, NULL::bytea AS command, k.pages
FROM k
WHERE k.state IS NOT NULL
UNION ALL
SELECT k.place, k.shard, j.seq, j.epoch, NULL, j.type, j.version, j.payload::text, j.at_ms,
       j.command, 0
FROM k
CROSS JOIN LATERAL (
    SELECT * FROM journal
    WHERE entity = k.entity AND seq > coalesce(k.seq, 0) AND shard = k.shard
      AND address = k.address
    ORDER BY seq
    LIMIT :limit::bigint
) AS j
ORDER BY 1, 3

-- name: later
-- The first events of these entities above a seq each, oldest first.
SELECT w.place, w.shard, j.seq, j.epoch, NULL::bytea AS state, j.type, j.version,
       j.payload::text AS payload, j.at_ms, j.command
FROM unnest(:shards::smallint[], :entities::bigint[], :addresses::text[], :seqs::bigint[])
     WITH ORDINALITY AS w (shard, entity, address, seq, place)
CROSS JOIN LATERAL (
    SELECT * FROM journal
    WHERE entity = w.entity AND seq > w.seq AND shard = w.shard AND address = w.address
    ORDER BY seq
    LIMIT :limit::bigint
) AS j
ORDER BY 1, 3

-- name: pages
-- Some pages of a snapshot: of each number the newest that is not above the snapshot's seq.
SELECT * FROM (
    SELECT DISTINCT ON (number) shard, epoch, number, seq, data
    FROM snapshot_pages
    WHERE shard = :shard::smallint AND address = :address::text AND number > :after::integer
      AND seq <= :seq::bigint
    ORDER BY number, seq DESC
) AS newest
WHERE data <> ''
LIMIT :limit::bigint

-- name: drop_pages
-- Deletes the rows of an entity's pages that no snapshot of this seq or a later one has: those of
-- which there is a newer row for it, and those that only say that there is no such page.
DELETE FROM snapshot_pages AS p
WHERE p.shard = :shard::smallint AND p.address = :address::text AND p.seq <= :seq::bigint
  AND (p.data = '' OR EXISTS (
      SELECT FROM snapshot_pages AS q
      WHERE q.shard = p.shard AND q.address = p.address AND q.number = p.number
        AND q.seq > p.seq AND q.seq <= :seq::bigint
  ))

-- name: outcomes
-- The stored replies among these commands.
SELECT o.shard, o.epoch, o.command, o.fingerprint, o.reply, o.at_ms
FROM unnest(:shards::smallint[], :commands::bytea[]) AS k (shard, command)
JOIN outcomes AS o ON o.shard = k.shard AND o.command = k.command

-- name: shards
-- All leases.
SELECT shard, epoch, owner, incarnation FROM shards ORDER BY shard

-- name: armed_timers
-- The entities that a shard's next owner has to load at once.
SELECT address FROM wakes WHERE shard = ANY(:shards::smallint[]) ORDER BY shard, address

-- name: history
-- An entity's events of some types below a seq, newest first.
SELECT shard, seq, epoch, type, version, payload::text, at_ms, command
FROM journal
WHERE entity = :entity::bigint AND seq < :before_seq::bigint AND shard = :shard::smallint
  AND address = :address::text AND type = ANY(:types::text[])
ORDER BY seq DESC
LIMIT :limit::bigint

-- name: purge_outcomes
-- Deletes some of the oldest outcomes. Rows that somebody else is deleting are theirs.
WITH old AS (
    SELECT ctid FROM outcomes WHERE at_ms < :before_ms::bigint
    ORDER BY at_ms LIMIT :limit::bigint
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM outcomes WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) RETURNING 1
)
SELECT count(*) AS purged FROM gone

-- name: now_ms
-- The clock that judges. The number of a transaction is given by a server that commits only: a
-- standby, which would tell its time as well, refuses it.
SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now_ms, pg_current_xact_id()::text

-- name: ping
-- Answers if the journal can be read.
SELECT epoch FROM shards WHERE shard = 0
