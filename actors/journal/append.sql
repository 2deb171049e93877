-- The parts of the append: fence, write and deduplicate in one autocommitted statement. A batch
-- uses the parts it has rows for, each as a CTE of that name, around "live".
--
-- All CTEs of one statement read the same snapshot, so nothing here may depend on another part's
-- writes; but every part joins "live", and a row leaves "live" only once its lease is locked.

-- name: live
-- Locks the leases of the batch and lets through the shards that are still its writer's under the
-- batch's epoch, and whose journal has the row before their first one: what was decided on rows that
-- the journal has lost is not written behind the gap. That row is in the segment that is written to,
-- but for the first one there: only for that one the others are asked, and then it has to be the last
-- in all of them. So no seq is in two segments, as none is twice in one. A seq below 0 stands for a
-- shard without rows in the batch. None whose latest row is from the future by
-- this database's clock either: whoever decided it has a wrong one, and every later owner would have
-- to go on from there. If a claim holds the row, this waits for it and then checks the lease again
-- in the new version of the row (read committed). FOR SHARE conflicts with the claim's UPDATE; FOR
-- KEY SHARE would not, because epoch is in no key. In order of shards, as the claim, so that the two
-- never wait for each other.
SELECT s.shard, s.epoch
FROM shards AS s
JOIN unnest(:batch_shards::smallint[], :batch_epochs::bigint[], :batch_ends::bigint[],
            :batch_at_ms::bigint[]) AS b (shard, epoch, seq, at_ms)
  ON s.shard = b.shard AND s.epoch = b.epoch
     AND b.at_ms <= extract(epoch FROM now()) * 1000 + :lead_max_ms::bigint
WHERE s.incarnation = :incarnation::text
  AND (b.seq < 0 OR coalesce((SELECT true FROM journal_current AS j
                              WHERE j.shard = b.shard AND j.seq = b.seq),
                             journal_ends_with(b.shard, b.seq)))
ORDER BY s.shard
FOR SHARE OF s

-- name: rows
-- Events. A (shard, seq) that exists already under a live epoch breaks an invariant: an error.
-- Columns come as texts, which the driver sends in a quarter of the time that arrays take it:
-- numbers as array literals, words with a unit separator between, which neither JSON nor an
-- address may contain.
INSERT INTO journal_current (seq, epoch, entity, at_ms, shard, version, address, type, command, payload)
SELECT r.seq, l.epoch, r.entity, r.at_ms, r.shard, r.version, r.address, r.type, r.command,
       r.payload::json
FROM unnest(
    :row_shards::text::smallint[], :row_seqs::text::bigint[], :row_entities::text::bigint[],
    :row_at_ms::text::bigint[], :row_versions::text::smallint[],
    string_to_array(:row_addresses::text, E'\x1f'), string_to_array(:row_types::text, E'\x1f'),
    :row_commands::bytea[], string_to_array(:row_payloads::text, E'\x1f')
) AS r (shard, seq, entity, at_ms, version, address, type, command, payload)
JOIN live AS l ON l.shard = r.shard

-- name: outcomes
-- Replies to keyed commands. The first one stays: in this segment by its key, and of two in
-- different segments the first is read.
INSERT INTO outcomes_current (at_ms, shard, command, fingerprint, reply, epoch)
SELECT r.at_ms, r.shard, r.command, r.fingerprint, r.reply, l.epoch
FROM unnest(
    :outcome_at_ms::bigint[], :outcome_shards::smallint[], :outcome_commands::bytea[],
    :outcome_fingerprints::bytea[], :outcome_replies::bytea[]
) AS r (at_ms, shard, command, fingerprint, reply)
JOIN live AS l ON l.shard = r.shard
ON CONFLICT (shard, command) DO NOTHING

-- name: snapshots
-- States. An older one never takes the place of a newer one. The seq stands twice because a program
-- of an earlier release, which knows of no pages, leaves the second as it was.
INSERT INTO snapshots (seq, epoch, shard, address, state, pages, pages_seq)
SELECT r.seq, l.epoch, r.shard, r.address, r.state, r.pages, r.seq
FROM unnest(
    :snapshot_seqs::bigint[], :snapshot_shards::smallint[], :snapshot_addresses::text[],
    :snapshot_states::bytea[], :snapshot_pages::integer[]
) AS r (seq, shard, address, state, pages)
JOIN live AS l ON l.shard = r.shard
ON CONFLICT (shard, address) DO UPDATE
    SET seq = excluded.seq, epoch = excluded.epoch, state = excluded.state,
        pages = excluded.pages, pages_seq = excluded.pages_seq
    WHERE snapshots.seq <= excluded.seq

-- name: pages
-- Pages of the state that the next snapshot of their entity will be about.
INSERT INTO snapshot_pages (seq, epoch, shard, number, address, data)
SELECT r.seq, l.epoch, r.shard, r.number, r.address, r.data
FROM unnest(
    :page_seqs::bigint[], :page_shards::smallint[], :page_numbers::integer[],
    :page_addresses::text[], :page_datas::bytea[]
) AS r (seq, shard, number, address, data)
JOIN live AS l ON l.shard = r.shard
ON CONFLICT (shard, address, number, seq) DO UPDATE
    SET epoch = excluded.epoch, data = excluded.data

-- name: armed
-- Entities that have a timer or an unfinished saga from now on.
INSERT INTO wakes (shard, address)
SELECT r.shard, r.address
FROM unnest(:armed_shards::smallint[], :armed_addresses::text[]) AS r (shard, address)
JOIN live AS l ON l.shard = r.shard
ON CONFLICT (shard, address) DO NOTHING

-- name: disarmed
-- Entities that no longer have one.
DELETE FROM wakes AS w
USING unnest(:disarmed_shards::smallint[], :disarmed_addresses::text[]) AS r (shard, address)
JOIN live AS l ON l.shard = r.shard
WHERE w.shard = r.shard AND w.address = r.address
