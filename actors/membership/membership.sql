-- Who lives, while Redis cannot say. Every statement is a transaction of its own.

-- name: announce
-- Says that an instance lives, to be forgotten after a while, and lets go of who was forgotten.
WITH gone AS (
    DELETE FROM instance_beats WHERE ends_at < now() AND instance <> :instance::text
)
INSERT INTO instance_beats (instance, member, ends_at)
VALUES (:instance::text, :member::text, now() + :ttl_s::float8 * interval '1 second')
ON CONFLICT (instance) DO UPDATE
    SET member = excluded.member, beat_at = now(), ends_at = excluded.ends_at

-- name: leave
-- Forgets an instance, unless a newer run of it has taken its name over.
DELETE FROM instance_beats
WHERE instance = :instance::text AND member::json ->> 'incarnation' = :incarnation::text

-- name: members
-- All who said so and were not forgotten.
SELECT member FROM instance_beats WHERE ends_at > now() ORDER BY instance

-- name: claimed
-- Whether a run of an instance has ever claimed a shard here.
SELECT EXISTS (SELECT FROM epochs WHERE incarnation = :incarnation::text) AS claimed
