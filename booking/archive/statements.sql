-- name: segments
-- Those that may go, oldest first, and those that went and left their table behind.
SELECT segment, began_at, closed_at, archived_at, to_regclass('journal_' || segment) IS NOT NULL AS here
  FROM journal_segments
 WHERE archived_at IS NULL OR to_regclass('journal_' || segment) IS NOT NULL
 ORDER BY segment

-- name: turn
SELECT turn_journal('0')

-- name: ends
SELECT shard, count(*) AS rows, min(seq) AS first, max(seq) AS last FROM {table} GROUP BY shard

-- name: offsets
SELECT consumer, shard, seq FROM consumer_offsets

-- name: follower
-- Whether an audit follows the journal now.
SELECT EXISTS (SELECT FROM audit_offsets WHERE checked_at > now() - interval '10 minutes')

-- name: without_snapshot
-- Entities with events in the segment that no snapshot has passed.
SELECT e.address
  FROM (SELECT shard, address, max(seq) AS seq FROM {table} GROUP BY shard, address) AS e
  LEFT JOIN snapshots AS s ON s.shard = e.shard AND s.address = e.address
 WHERE s.seq IS NULL OR s.seq < e.seq

-- name: put_snapshots
-- A state after given events is the same whoever works it out, so no lease is asked for.
INSERT INTO snapshots (shard, address, seq, epoch, state, pages, pages_seq)
SELECT shard, address, seq, epoch, state, 0, seq
  FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
       AS new (shard, address, seq, epoch, state)
ON CONFLICT (shard, address) DO UPDATE
   SET seq = excluded.seq, epoch = excluded.epoch, state = excluded.state,
       pages = excluded.pages, pages_seq = excluded.pages_seq
 WHERE snapshots.seq < excluded.seq

-- name: rows
-- The columns of a line, in the order of COLUMNS.
SELECT json_build_array(shard, seq, epoch, entity, at_ms, version, address, type,
                        encode(command, 'hex'), payload)
  FROM {table} ORDER BY shard, seq

-- name: give_up_after
-- Who waits for a lock keeps everybody waiting who comes later.
SET LOCAL lock_timeout = '2s'

-- name: hold_journal
LOCK TABLE ONLY journal IN ACCESS EXCLUSIVE MODE

-- name: forget_ends
DELETE FROM journal_0 WHERE shard IN (SELECT DISTINCT shard FROM {table})

-- name: keep_ends
INSERT INTO journal_0 (seq, epoch, entity, at_ms, shard, version, address, type, command, payload,
                       segment)
SELECT DISTINCT ON (shard) seq, epoch, entity, at_ms, shard, version, address, type, command, payload,
       0
  FROM {table} ORDER BY shard, seq DESC

-- name: detach
ALTER TABLE journal DETACH PARTITION {table}

-- name: kept_ends
SELECT shard, seq FROM journal_0

-- name: forget_cuts
DELETE FROM journal_cuts WHERE segment = $1

-- name: archived
UPDATE journal_segments SET archived_at = now(), manifest = $2 WHERE segment = $1

-- name: drop
DROP TABLE {table}

-- name: alone
-- Until the connection ends.
SELECT pg_try_advisory_lock($1)

-- name: archived_segments
-- In the order in which they went, each with whether its rows are in a table already.
SELECT segment, manifest, to_regclass('journal_' || segment) IS NOT NULL AS here
  FROM journal_segments
 WHERE archived_at IS NOT NULL
 ORDER BY segment

-- name: create
-- As turn_journal() does, but for the keys, which are cheaper when the rows are there.
CREATE TABLE {table} (LIKE journal INCLUDING COMMENTS,
                      CONSTRAINT journal_segment CHECK (segment = {segment}));
ALTER TABLE {table} ALTER COLUMN segment SET DEFAULT {segment};
COMMENT ON TABLE {table} IS 'A segment of the journal.'

-- name: index
ALTER TABLE {table} ADD PRIMARY KEY (shard, seq);
CREATE INDEX {table}_entity ON {table} (entity, seq);
ANALYZE {table}

-- name: attach
ALTER TABLE journal ATTACH PARTITION {table} FOR VALUES IN ({segment})

-- name: keep_cut
INSERT INTO journal_cuts (shard, segment, first_seq) VALUES ($1, $2, $3)

-- name: not_archived
UPDATE journal_segments SET archived_at = NULL, manifest = '' WHERE segment = $1

-- name: forget_all_ends
DELETE FROM journal_0
