-- name: identity
-- Who the journal is and which part of it this database holds. The columns of this release are read
-- in this way because databases of earlier releases do not have them.
SELECT journal, part, parts,
       coalesce((to_jsonb(recorded) ->> 'generation')::bigint, 0) AS generation,
       coalesce((extract(epoch FROM (to_jsonb(recorded) ->> 'renewed_at')::timestamptz) * 1000)::bigint, 0)
           AS renewed_ms
FROM journal_part AS recorded

-- name: begun
-- Whether a shard was ever claimed here.
SELECT EXISTS (SELECT FROM epochs)

-- name: record
-- Remember for good that this is a part of a journal in several databases. The first to do so is
-- right.
UPDATE journal_part
SET journal = $1::uuid, part = $2::smallint, parts = $3::smallint, generation = $4::bigint
WHERE parts = 1

-- name: state
-- Whether an instance leads, so that at least one runs; and whether this is a copy of the database
-- that `booking migrate` ran on.
SELECT (SELECT expires_at > now() FROM leadership) AS live,
       home NOT IN ('', {here}) AS moved
FROM journal_part

-- name: settle
-- The database is at home where it is now.
UPDATE journal_part SET home = {here} WHERE home <> {here}

-- name: renew
-- Begin another generation.
UPDATE journal_part SET generation = $1::bigint, renewed_at = now(), home = {here}

-- name: here
concat_ws('/', (SELECT system_identifier FROM pg_control_system()),
          (SELECT timeline_id FROM pg_control_checkpoint()),
          (SELECT oid FROM pg_database WHERE datname = current_database()))
