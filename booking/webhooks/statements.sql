-- Endpoints of webhooks and what is to be delivered to them. Each statement is a transaction of its
-- own, but for the first two, which are in that of the consumer.

-- name: listeners
-- They are not deleted before this transaction has ended.
SELECT id, types, created_at FROM webhook_endpoints WHERE enabled ORDER BY id FOR KEY SHARE

-- name: put
-- What there is already is left as it is: the consumer may have been rewound.
INSERT INTO webhook_deliveries (endpoint, event, type, body)
SELECT * FROM unnest(:endpoints::text[], :events::text[], :types::text[], :bodies::text[])
ON CONFLICT (endpoint, event) DO NOTHING

-- name: take
-- What is due, of each endpoint no more than it has room for here, until the lease ends: then it is
-- due again.
WITH due AS (
    SELECT d.endpoint, d.event
    FROM webhook_endpoints AS e
    LEFT JOIN unnest(:busy::text[], :counts::integer[]) AS b (id, count) USING (id)
    CROSS JOIN LATERAL (
        SELECT endpoint, event FROM webhook_deliveries
        WHERE endpoint = e.id AND state = 'pending' AND due_at <= now()
        ORDER BY due_at
        LIMIT greatest(0, :each::integer - coalesce(b.count, 0))
        FOR UPDATE SKIP LOCKED
    ) AS d
    WHERE e.enabled
)
UPDATE webhook_deliveries AS d
SET due_at = now() + :lease_s::float8 * interval '1 second', attempts = d.attempts + 1
FROM due JOIN webhook_endpoints AS e ON e.id = due.endpoint
WHERE d.endpoint = due.endpoint AND d.event = due.event
RETURNING d.endpoint, d.event, d.body, d.attempts, e.url, e.secret,
          CASE WHEN e.old_until > now() THEN e.old_secret ELSE '' END AS old_secret

-- name: delivered
WITH ended AS (
    UPDATE webhook_deliveries
    SET state = 'delivered', status = :status::integer, trouble = '', ended_at = now()
    WHERE endpoint = :endpoint::text AND event = :event::text AND state = 'pending'
)
UPDATE webhook_endpoints SET failing_since = NULL, trouble = ''
WHERE id = :endpoint::text AND failing_since IS NOT NULL

-- name: failed
-- Due again after a delay, or never without one; but not if somebody else has taken it meanwhile. An
-- endpoint that is gone, or has failed for too long, is disabled, and the trail says so. Returns it.
WITH failed AS (
    UPDATE webhook_deliveries
    SET state = CASE WHEN :delay_s::float8 IS NULL THEN 'dead' ELSE 'pending' END,
        due_at = now() + coalesce(:delay_s::float8, 0) * interval '1 second',
        ended_at = CASE WHEN :delay_s::float8 IS NULL THEN now() END,
        status = :status::integer, trouble = :trouble::text
    WHERE endpoint = :endpoint::text AND event = :event::text AND state = 'pending'
      AND attempts = :attempts::integer
), failing AS (
    UPDATE webhook_endpoints
    SET failing_since = coalesce(failing_since, now()), trouble = :trouble::text,
        enabled = NOT (:gone::boolean
            OR coalesce(failing_since < now() - :patience_s::float8 * interval '1 second', false))
    WHERE id = :endpoint::text AND enabled
    RETURNING id, enabled
)
INSERT INTO operator_log (who, what, detail)
SELECT 'webhooks', 'webhook_disabled', json_build_object('webhook', id, 'trouble', :trouble::text)
FROM failing WHERE NOT enabled
RETURNING id

-- name: forget
DELETE FROM webhook_deliveries
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM webhook_deliveries
    WHERE ended_at < now() - :kept_s::float8 * interval '1 second'
      AND (state = 'delivered' OR ended_at < now() - :dead_kept_s::float8 * interval '1 second')
    LIMIT :most::integer
    FOR UPDATE SKIP LOCKED
))

-- name: create
INSERT INTO webhook_endpoints (id, url, about, types, secret)
SELECT :id::text, :url::text, :about::text, :types::text[], :secret::text
WHERE (SELECT count(*) FROM webhook_endpoints) < :most::integer
RETURNING id

-- name: change
UPDATE webhook_endpoints
SET url = coalesce(:url::text, url), about = coalesce(:about::text, about),
    types = coalesce(:types::text[], types), enabled = coalesce(:enabled::boolean, enabled),
    failing_since = CASE WHEN :enabled::boolean THEN NULL ELSE failing_since END,
    trouble = CASE WHEN :enabled::boolean THEN '' ELSE trouble END
WHERE id = :id::text
RETURNING id

-- name: rotate
UPDATE webhook_endpoints
SET old_secret = secret, secret = :secret::text,
    old_until = now() + :overlap_s::float8 * interval '1 second'
WHERE id = :id::text
RETURNING id

-- name: delete
DELETE FROM webhook_endpoints WHERE id = :id::text RETURNING id

-- name: endpoint
SELECT url, secret, CASE WHEN old_until > now() THEN old_secret ELSE '' END AS old_secret
FROM webhook_endpoints WHERE id = :id::text

-- name: endpoints
SELECT id, url, about, types, enabled, trouble,
       floor(extract(epoch FROM failing_since) * 1000)::bigint AS failing_since_ms,
       floor(extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms,
       coalesce(p.count, 0) AS pending, coalesce(d.count, 0) AS dead,
       coalesce(extract(epoch FROM now() - p.oldest), 0)::float8 AS oldest_pending_s
FROM webhook_endpoints
CROSS JOIN LATERAL (
    SELECT count(*), min(made_at) AS oldest FROM webhook_deliveries
    WHERE endpoint = id AND state = 'pending'
) AS p
CROSS JOIN LATERAL (
    SELECT count(*) FROM webhook_deliveries WHERE endpoint = id AND state = 'dead'
) AS d
WHERE :id::text IS NULL OR id = :id::text
ORDER BY created_at, id

-- name: deliveries
-- Newest first.
SELECT event, type, state, attempts, status, trouble,
       floor(extract(epoch FROM made_at) * 1000)::bigint AS made_at_ms,
       CASE WHEN state = 'pending'
            THEN floor(extract(epoch FROM due_at) * 1000)::bigint END AS due_at_ms,
       floor(extract(epoch FROM ended_at) * 1000)::bigint AS ended_at_ms
FROM webhook_deliveries
WHERE endpoint = :id::text AND (:state::text IS NULL OR state = :state::text)
ORDER BY made_at DESC, event DESC
LIMIT :limit::integer

-- name: resend
-- With all its attempts before it. No events named: all that were given up.
WITH again AS (
    UPDATE webhook_deliveries
    SET state = 'pending', due_at = now(), ended_at = NULL, attempts = 0
    WHERE endpoint = :id::text AND state <> 'pending'
      AND (event = ANY(:events::text[]) OR (:events::text[] = '{}' AND state = 'dead'))
    RETURNING event
)
SELECT count(*) FROM again
