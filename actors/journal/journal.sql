-- What the journal asks besides appending. Every statement is a transaction of its own.

-- name: claim
-- Takes over the shards whose epoch is the one seen (and, if asked, only those that should be this
-- owner's and that no later run of it has), and remembers the claim. Which of two runs is the later
-- is told by their first claims: not by their clocks, which may be wrong. A trigger leaves out those
-- with a loss that waits for an operator. The new epoch is above all that anything here knows of, so that none is given twice even
-- after a fail-over that forgot a claim. Locks in order of shards, as the append does; a row changed
-- while this waited is checked again in its new version.
WITH locked AS (
    SELECT s.shard
    FROM shards AS s
    JOIN unnest(:shards::smallint[], :seen::bigint[]) AS w (shard, epoch)
      ON s.shard = w.shard AND s.epoch = w.epoch
    WHERE NOT :only_desired::boolean
       OR s.desired = :owner::text
          AND (s.owner <> :owner::text
               OR (SELECT min(e.claimed_at) FROM epochs AS e WHERE e.incarnation = s.incarnation)
                  <= coalesce(
                      (SELECT min(e.claimed_at) FROM epochs AS e
                       WHERE e.incarnation = :incarnation::text), now()))
    ORDER BY s.shard
    FOR UPDATE OF s
), claimed AS (
    UPDATE shards AS s
    SET epoch = 1 + greatest(
            s.epoch, :above::bigint,
            (SELECT e.epoch FROM epochs AS e WHERE e.shard = s.shard
             ORDER BY e.epoch DESC LIMIT 1),
            (SELECT j.epoch FROM journal AS j WHERE j.shard = s.shard
             ORDER BY j.seq DESC LIMIT 1)),
        owner = :owner::text, incarnation = :incarnation::text, claimed_at = now()
    FROM locked AS l
    WHERE s.shard = l.shard
    RETURNING s.shard, s.epoch, s.owner, s.incarnation, s.claimed_at
), remembered AS (
    INSERT INTO epochs (shard, epoch, owner, incarnation, claimed_at)
    SELECT shard, epoch, owner, incarnation, claimed_at FROM claimed
)
SELECT shard, epoch FROM claimed

-- name: ends
-- Where each shard ends: one step down its primary key. Asked after the claim has committed, never
-- in its statement: that statement's snapshot is older than its row locks, and an append of the
-- last owner may commit between the two. After the claim no append of an older epoch can commit,
-- so this sees all there will ever be of them.
SELECT w.shard, last.seq, last.epoch, coalesce(e.incarnation, '') AS writer, last.at_ms
FROM unnest(:shards::smallint[]) AS w (shard)
CROSS JOIN LATERAL (
    SELECT j.seq, j.epoch, j.at_ms FROM journal AS j
    WHERE j.shard = w.shard ORDER BY j.seq DESC LIMIT 1
) AS last
LEFT JOIN epochs AS e ON e.shard = w.shard AND e.epoch = last.epoch

-- name: kept
-- The last row of each of these pasts that is still there. Rows that another owner wrote in the
-- place of lost ones have a later epoch, or the same one claimed by another incarnation.
SELECT w.shard, kept.seq
FROM unnest(:shards::smallint[], :seqs::bigint[], :epochs::bigint[], :writers::text[])
     AS w (shard, seq, epoch, writer)
CROSS JOIN LATERAL (
    SELECT j.seq FROM journal AS j
    LEFT JOIN epochs AS e ON e.shard = j.shard AND e.epoch = j.epoch
    WHERE j.shard = w.shard AND j.seq <= w.seq
      AND (j.epoch < w.epoch OR j.epoch = w.epoch AND coalesce(e.incarnation, '') = w.writer)
    ORDER BY j.seq DESC LIMIT 1
) AS kept

-- name: report
-- Writes down what was lost, and lets nobody serve these shards until that is accepted: the epoch is
-- raised above all that were ever served, which fences whoever does. A row that is there after all
-- was only missing where the caller looked, on a server that lags behind. A loss that was accepted
-- under a later epoch is the same one, noticed by somebody who was away; it is written down as
-- accepted, and stops nobody.
WITH told AS (
    SELECT w.*, s.epoch AS epoch_now,
           (SELECT min(x.accepted_at) FROM losses AS x
            WHERE x.shard = w.shard AND x.raised_to > w.epoch AND x.accepted_at IS NOT NULL)
               AS accepted_at
    FROM unnest(:shards::smallint[], :seqs::bigint[], :epochs::bigint[], :writers::text[],
                :served::bigint[], :kept_seqs::bigint[], :entities::text[])
         AS w (shard, seq, epoch, writer, served, kept_seq, entities)
    JOIN shards AS s ON s.shard = w.shard
    WHERE NOT EXISTS (
        SELECT FROM journal AS j
        LEFT JOIN epochs AS e ON e.shard = j.shard AND e.epoch = j.epoch
        WHERE j.shard = w.shard AND j.seq = w.seq AND j.epoch = w.epoch
          AND coalesce(e.incarnation, '') = w.writer)
    ORDER BY s.shard
    FOR UPDATE OF s
), raised AS (
    UPDATE shards AS s
    SET epoch = 1 + greatest(
            s.epoch, t.epoch, t.served,
            (SELECT e.epoch FROM epochs AS e WHERE e.shard = s.shard
             ORDER BY e.epoch DESC LIMIT 1)),
        owner = '', incarnation = ''
    FROM told AS t
    WHERE s.shard = t.shard AND t.accepted_at IS NULL
    RETURNING s.shard, s.epoch
)
INSERT INTO losses (shard, seq, epoch, writer, kept_seq, entities, instance, incarnation,
                    raised_to, accepted_at, accepted_by)
SELECT t.shard, t.seq, t.epoch, t.writer, t.kept_seq, t.entities::json, :owner::text,
       :incarnation::text, coalesce(r.epoch, t.epoch_now), t.accepted_at,
       CASE WHEN t.accepted_at IS NULL THEN '' ELSE 'as before' END
FROM told AS t
LEFT JOIN raised AS r ON r.shard = t.shard
ON CONFLICT (shard, seq, epoch, writer, incarnation) DO UPDATE SET raised_to = excluded.raised_to
RETURNING shard, accepted_at IS NULL AS open

-- name: read
-- The first events of these shards above a seq each, in order: one step down the primary key for each
-- shard, and then along it. Segments before the seq are not looked into.
SELECT j.shard, j.seq, j.epoch, j.address, j.type, j.version, j.payload::text AS payload, j.at_ms,
       j.command
FROM unnest(:shards::smallint[], :seqs::bigint[]) AS w (shard, seq)
CROSS JOIN LATERAL (
    SELECT coalesce(max(c.segment), 0) AS segment FROM journal_cuts AS c
    WHERE c.shard = w.shard AND c.first_seq <= w.seq + 1
) AS since
CROSS JOIN LATERAL (
    SELECT * FROM journal
    WHERE shard = w.shard AND seq > w.seq AND segment >= since.segment
    ORDER BY seq
    LIMIT :limit::bigint
) AS j
ORDER BY 1, 2

-- name: load
-- The stored state of each of these entities, if there is one, and the first events above it, oldest
-- first. One statement, because a cold entity costs mostly the way to the server and back. Segments
-- before the state are not looked into.
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
    SELECT coalesce(max(c.segment), 0) AS segment FROM journal_cuts AS c
    WHERE c.shard = k.shard AND c.first_seq <= coalesce(k.seq, 0) + 1
) AS since
CROSS JOIN LATERAL (
    SELECT * FROM journal
    WHERE entity = k.entity AND seq > coalesce(k.seq, 0) AND shard = k.shard
      AND address = k.address AND segment >= since.segment
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
    SELECT coalesce(max(c.segment), 0) AS segment FROM journal_cuts AS c
    WHERE c.shard = w.shard AND c.first_seq <= w.seq + 1
) AS since
CROSS JOIN LATERAL (
    SELECT * FROM journal
    WHERE entity = w.entity AND seq > w.seq AND shard = w.shard AND address = w.address
      AND segment >= since.segment
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
-- The stored replies among these commands, in all segments. Where there are two, the first one comes
-- last: it stays.
SELECT o.shard, o.epoch, o.command, o.fingerprint, o.reply, o.at_ms
FROM unnest(:shards::smallint[], :commands::bytea[]) AS k (shard, command)
JOIN outcomes AS o ON o.shard = k.shard AND o.command = k.command
ORDER BY o.epoch DESC, o.at_ms DESC

-- name: shards
-- All leases, and of shards that are asked about the row of a seq: a step down two primary keys for
-- each. The seqs are in order of shards, 0 for those that are not asked about.
SELECT s.shard, s.epoch, s.owner, s.incarnation,
       coalesce(x.losses, 0) AS losses, coalesce(x.lost, false) AS lost,
       j.seq AS past_seq, j.epoch AS past_epoch, coalesce(e.incarnation, '') AS writer
FROM shards AS s
LEFT JOIN (
    SELECT shard, count(*) AS losses, bool_or(accepted_at IS NULL) AS lost
    FROM losses GROUP BY shard
) AS x ON x.shard = s.shard
CROSS JOIN LATERAL (
    SELECT coalesce(max(c.segment), 0) AS segment FROM journal_cuts AS c
    WHERE c.shard = s.shard AND c.first_seq <= (:seqs::bigint[])[s.shard + 1]
) AS since
LEFT JOIN journal AS j ON j.shard = s.shard AND j.seq = (:seqs::bigint[])[s.shard + 1]
                          AND j.segment >= since.segment
LEFT JOIN epochs AS e ON e.shard = j.shard AND e.epoch = j.epoch
ORDER BY s.shard

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

-- name: turn_outcomes
-- Forgets the oldest segment of outcomes and begins another, by this database's clock: no other may
-- end what was promised. What somebody else is turning is theirs.
SELECT turn_outcomes(:every_ms::bigint * interval '1 millisecond') AS turned

-- name: turn_journal
-- Begins another segment of the journal, by this database's clock. What somebody else is turning is
-- theirs.
SELECT turn_journal(:every_ms::bigint * interval '1 millisecond') AS turned

-- name: archived
-- Which of these shards have events in an archive.
SELECT DISTINCT shard FROM journal_0 WHERE shard = ANY(:shards::smallint[])

-- name: now_ms
-- The clock that judges. The number of a transaction is given by a server that commits only: a
-- standby, which would tell its time as well, refuses it.
SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now_ms, pg_current_xact_id()::text

-- name: ping
-- Answers if the journal can be read.
SELECT epoch FROM shards WHERE shard = 0
