-- What operators want of instances, and their plans. Every statement is a transaction of its own.

-- name: desired_states
-- Instances of which something is wanted.
SELECT instance, draining, evicted FROM instance_wishes WHERE draining OR evicted

-- name: desire
-- Wants something of an instance from now on, and says so in the log.
WITH changed AS (
    INSERT INTO instance_wishes (instance, draining, evicted)
    VALUES (:instance::text, :draining::boolean, :evicted::boolean)
    ON CONFLICT (instance) DO UPDATE
        SET draining = excluded.draining, evicted = excluded.evicted
    RETURNING instance
)
INSERT INTO operator_log (who, what, detail)
SELECT :who::text, :what::text, json_build_object('instance', instance) FROM changed
RETURNING id

-- name: show
-- Keeps a plan, and lets go of plans that were shown long ago and never begun. One that has ended
-- is as new: the cluster is as it was before, so it has the same id.
WITH gone AS (
    DELETE FROM plans
    WHERE state = 'shown' AND shown_at < now() - :kept_s::float8 * interval '1 second'
      AND plan_id <> :plan_id::text
)
INSERT INTO plans (plan_id, kind, plan)
VALUES (:plan_id::text, :kind::text, :plan::text::json)
ON CONFLICT (plan_id) DO UPDATE
    SET shown_at = now(), kind = excluded.kind, state = 'shown', begun_by = '', begun_at = NULL,
        outcome = NULL
    WHERE plans.state <> 'running'

-- name: begin
-- Lets a plan run that was shown, and says so in the log.
WITH changed AS (
    UPDATE plans SET state = 'running', begun_by = :who::text, begun_at = now()
    WHERE plan_id = :plan_id::text AND state = 'shown'
    RETURNING plan_id, kind, plan
)
INSERT INTO operator_log (who, what, detail)
SELECT :who::text, CASE kind WHEN 'move' THEN 'move' ELSE 'rebalance' END,
       json_build_object('planId', plan_id, 'moves', plan -> 'moves')
FROM changed
RETURNING id

-- name: end
-- Lets a plan run no longer, and says so in the log.
WITH changed AS (
    UPDATE plans SET state = :state::text, outcome = :outcome::text::json
    WHERE plan_id = :plan_id::text AND state = 'running'
    RETURNING plan_id
)
INSERT INTO operator_log (who, what, detail)
SELECT :who::text, :what::text, json_build_object('planId', plan_id) FROM changed
RETURNING id

-- name: plan
-- One plan.
SELECT plan::text AS plan, kind, state, begun_by, outcome::text AS outcome,
       coalesce(floor(extract(epoch FROM begun_at) * 1000), 0)::bigint AS begun_at_ms
FROM plans WHERE plan_id = :plan_id::text

-- name: running
-- The plans that run, oldest first.
SELECT plan::text AS plan, kind, state, begun_by, outcome::text AS outcome,
       coalesce(floor(extract(epoch FROM begun_at) * 1000), 0)::bigint AS begun_at_ms
FROM plans WHERE state = 'running' ORDER BY begun_at

-- name: latest
-- The rebalance that was begun last.
SELECT plan::text AS plan, kind, state, begun_by, outcome::text AS outcome,
       coalesce(floor(extract(epoch FROM begun_at) * 1000), 0)::bigint AS begun_at_ms
FROM plans WHERE kind = 'rebalance' AND begun_at IS NOT NULL ORDER BY begun_at DESC LIMIT 1
