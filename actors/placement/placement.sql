-- Who leads, where each shard should be, and what operators did. Every statement is a transaction
-- of its own. Locks are taken in this order: the row of leadership, then shards by number.

-- name: leadership
-- The leader's row, and whether its time is over by the database's own clock.
SELECT term, holder, via, expires_at, expires_at <= clock_timestamp() AS expired FROM leadership

-- name: raise_term
-- Begins the next term if the row is still exactly the one seen: a renewal changes expires_at, so it
-- wins over whoever thought the row abandoned.
UPDATE leadership
SET term = term + 1, holder = :holder::text, via = :via::text,
    expires_at = clock_timestamp() + :lease_s::float8 * interval '1 second'
WHERE term = :term::bigint AND expires_at = :expires_at::timestamptz
RETURNING term

-- name: renew_term
-- Holds the row for another lease, if the term is still this one.
UPDATE leadership
SET via = :via::text, expires_at = clock_timestamp() + :lease_s::float8 * interval '1 second'
WHERE term = :term::bigint
RETURNING term

-- name: yield_term
-- Lets the next one in at once. The term stays current, and ends with the next one.
UPDATE leadership SET expires_at = clock_timestamp() WHERE term = :term::bigint

-- name: placed
-- All shards with everything a planner asks of the database.
SELECT shard, epoch, owner, incarnation, coalesce(desired, '') AS desired,
       coalesce(desired_term, 0) AS desired_term, pinned_to, coalesce(frozen, '') AS frozen
FROM shards
ORDER BY shard

-- name: term_here
-- The term under which a plan is written, if it is the current one. FOR SHARE makes a new term wait
-- until the plan has committed, and this look again if it waited for a new term.
SELECT term FROM leadership WHERE term = :term::bigint FOR SHARE

-- name: term_elsewhere
-- The same in a database that holds shards and not the leader's row: it remembers the latest term
-- that wrote here, and lets no earlier one in any more.
UPDATE leadership SET term = :term::bigint WHERE term <= :term::bigint RETURNING term

-- name: write_desired
-- Writes where these shards should be: all whose epoch is still the one seen, and nothing at all
-- unless one of the above, as "current", gives the term. Always answers with at least one row.
locked AS (
    SELECT s.shard, w.desired, c.term
    FROM current AS c
    CROSS JOIN unnest(:shards::smallint[], :epochs::bigint[], :desired::text[])
         AS w (shard, epoch, desired)
    JOIN shards AS s ON s.shard = w.shard AND s.epoch = w.epoch
    WHERE coalesce(s.desired_term, 0) <= c.term
    ORDER BY s.shard
    FOR UPDATE OF s
), written AS (
    UPDATE shards AS s
    SET desired = l.desired, desired_term = l.term
    FROM locked AS l
    WHERE s.shard = l.shard
    RETURNING s.shard
)
SELECT c.term, w.shard
FROM (SELECT 1) AS always
LEFT JOIN current AS c ON true
LEFT JOIN written AS w ON true

-- name: set_pinned_to
-- Pins a shard, or with a null unpins it, and says so in the log. Not bound to a term: operators
-- may, whoever leads.
WITH changed AS (
    UPDATE shards SET pinned_to = :value::text WHERE shard = :shard::smallint RETURNING shard
)
INSERT INTO operator_log (who, what, detail)
SELECT :who::text, :what::text, :detail::text::json FROM changed
RETURNING id

-- name: set_frozen
-- Freezes a shard for a reason, or with a null unfreezes it, and says so in the log.
WITH changed AS (
    UPDATE shards SET frozen = :value::text WHERE shard = :shard::smallint RETURNING shard
)
INSERT INTO operator_log (who, what, detail)
SELECT :who::text, :what::text, :detail::text::json FROM changed
RETURNING id

-- name: change_pinned_to
-- The same without the log, which is in another database.
UPDATE shards SET pinned_to = :value::text WHERE shard = :shard::smallint RETURNING shard

-- name: change_frozen
-- As above.
UPDATE shards SET frozen = :value::text WHERE shard = :shard::smallint RETURNING shard

-- name: losses
-- What the journal here was found to have lost, newest first.
SELECT shard, seq, kept_seq, entities::text AS entities, instance,
       floor(extract(epoch FROM noticed_at) * 1000)::bigint AS noticed_at_ms,
       floor(extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_at_ms, accepted_by
FROM losses
ORDER BY noticed_at DESC, id DESC

-- name: accept_losses
-- Lets these shards be claimed again. Snapshots of a state that the journal no longer leads to would
-- hide the events that are going to take the place of the lost ones, and their pages would get into
-- later snapshots.
WITH accepted AS (
    UPDATE losses SET accepted_at = now(), accepted_by = :who::text
    WHERE accepted_at IS NULL AND shard = ANY(:shards::smallint[])
    RETURNING shard
), ends AS (
    SELECT DISTINCT a.shard,
           coalesce((SELECT j.seq FROM journal AS j WHERE j.shard = a.shard
                     ORDER BY j.seq DESC LIMIT 1), 0) AS seq
    FROM accepted AS a
), pages AS (
    DELETE FROM snapshot_pages AS p USING ends AS e WHERE p.shard = e.shard AND p.seq > e.seq
)
DELETE FROM snapshots AS s USING ends AS e WHERE s.shard = e.shard AND s.seq > e.seq

-- name: log
-- A line of the operators' log about a change that is made elsewhere.
INSERT INTO operator_log (who, what, detail)
VALUES (:who::text, :what::text, :detail::text::json)
RETURNING id

-- name: logged
-- The newest lines of the operators' log below an id.
SELECT id, floor(extract(epoch FROM at) * 1000)::bigint AS at_ms, who, what, detail::text AS detail
FROM operator_log
WHERE id < :before_id::bigint
ORDER BY id DESC
LIMIT :limit::bigint
