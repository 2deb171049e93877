-- How far a consumer is, in the database of its effects.

-- name: lock
-- Any number that is only ours ("consumer" in ASCII). Until the transaction ends.
SELECT pg_advisory_xact_lock(7165066974340146546)

-- name: exists
SELECT to_regclass('consumer_offsets') IS NOT NULL AS found

-- name: create
-- In a database that is only the consumer's. In that of the journal a migration does it.
CREATE TABLE consumer_offsets (
    seq        bigint      NOT NULL DEFAULT 0 CHECK (seq >= 0),
    epoch      bigint      NOT NULL DEFAULT 0,
    poison_seq bigint      NOT NULL DEFAULT 0,
    moved_at   timestamptz NOT NULL DEFAULT now(),
    shard      smallint    NOT NULL CHECK (shard BETWEEN 0 AND 255),
    paused     boolean     NOT NULL DEFAULT false,
    consumer   text        NOT NULL,
    trouble    text        NOT NULL DEFAULT '',
    skipped    jsonb       NOT NULL DEFAULT '[]',
    PRIMARY KEY (consumer, shard)
) WITH (fillfactor = 20)

-- name: open
-- A shard that is opened while the consumer is paused is paused like the others.
INSERT INTO consumer_offsets (consumer, shard, seq, paused)
SELECT :consumer::text, w.shard, w.seq,
       EXISTS (SELECT FROM consumer_offsets WHERE consumer = :consumer::text AND paused)
FROM unnest(:shards::smallint[], :seqs::bigint[]) AS w (shard, seq)
ORDER BY w.shard
ON CONFLICT (consumer, shard) DO NOTHING

-- name: offsets
SELECT shard, seq, epoch, paused, trouble, poison_seq, skipped::text
FROM consumer_offsets
WHERE consumer = :consumer::text
ORDER BY shard

-- name: move
-- Moves the offsets that are still where they are believed to be, and returns their shards. The lock
-- is that of the whole transaction: whoever else believes so waits for its end, and then sees that
-- they are not. In order of shards, so that two never wait for each other.
WITH locked AS (
    SELECT o.shard, w.seq, w.epoch
    FROM consumer_offsets AS o
    JOIN unnest(:shards::smallint[], :befores::bigint[], :seqs::bigint[], :epochs::bigint[])
         AS w (shard, before, seq, epoch)
      ON o.shard = w.shard AND o.seq = w.before
    WHERE o.consumer = :consumer::text AND NOT o.paused AND o.trouble = ''
    ORDER BY o.shard
    FOR UPDATE OF o
)
UPDATE consumer_offsets AS o
SET seq = l.seq, epoch = l.epoch, moved_at = now()
FROM locked AS l
WHERE o.consumer = :consumer::text AND o.shard = l.shard
RETURNING o.shard

-- name: stop
UPDATE consumer_offsets
SET trouble = :trouble::text, poison_seq = :poison_seq::bigint, moved_at = now()
WHERE consumer = :consumer::text AND shard = :shard::smallint AND seq = :seq::bigint

-- name: pause
WITH locked AS (
    SELECT shard FROM consumer_offsets WHERE consumer = :consumer::text ORDER BY shard FOR UPDATE
)
UPDATE consumer_offsets AS o
SET paused = :paused::boolean, moved_at = now(),
    trouble = CASE WHEN :paused::boolean THEN o.trouble ELSE '' END,
    poison_seq = CASE WHEN :paused::boolean THEN o.poison_seq ELSE 0 END
FROM locked AS l
WHERE o.consumer = :consumer::text AND o.shard = l.shard

-- name: skip
UPDATE consumer_offsets
SET seq = poison_seq, epoch = 0, trouble = '', poison_seq = 0, moved_at = now(),
    skipped = skipped || jsonb_build_object('seq', poison_seq, 'trouble', trouble,
                                            'reason', :reason::text, 'who', :who::text)
WHERE consumer = :consumer::text AND shard = :shard::smallint AND poison_seq > 0
RETURNING shard, seq, epoch, paused, trouble, poison_seq, skipped::text

-- name: rewind
WITH locked AS (
    SELECT shard FROM consumer_offsets
    WHERE consumer = :consumer::text AND shard = ANY(:shards::smallint[]) AND seq >= :seq::bigint
    ORDER BY shard FOR UPDATE
)
UPDATE consumer_offsets AS o
SET seq = :seq::bigint, epoch = 0, trouble = '', poison_seq = 0, moved_at = now()
FROM locked AS l
WHERE o.consumer = :consumer::text AND o.shard = l.shard AND o.seq >= :seq::bigint
RETURNING o.shard, o.seq, o.epoch, o.paused, o.trouble, o.poison_seq, o.skipped::text
