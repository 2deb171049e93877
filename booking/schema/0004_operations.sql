-- What operators want of instances, and the plans they saw and began. Only adds.

CREATE TABLE instance_wishes (
    instance text    PRIMARY KEY,
    draining boolean NOT NULL DEFAULT false,
    evicted  boolean NOT NULL DEFAULT false
);

COMMENT ON TABLE instance_wishes IS
    'What operators want of instances, by name: it holds for every run of them.';
COMMENT ON COLUMN instance_wishes.instance IS 'The name of the instance.';
COMMENT ON COLUMN instance_wishes.draining IS 'Its shards ought to be elsewhere, one after the other.';
COMMENT ON COLUMN instance_wishes.evicted IS 'Its shards are taken over without asking it.';

CREATE TABLE plans (
    plan_id  text        PRIMARY KEY,
    kind     text        NOT NULL CHECK (kind IN ('rebalance', 'move')),
    plan     json        NOT NULL,
    state    text        NOT NULL DEFAULT 'shown'
                         CHECK (state IN ('shown', 'running', 'done', 'aborted')),
    shown_at timestamptz NOT NULL DEFAULT now(),
    begun_by text        NOT NULL DEFAULT '',
    begun_at timestamptz
);

COMMENT ON TABLE plans IS
    'Plans of moves that were shown to an operator, and what became of them. One that nobody begins is deleted after a while.';
COMMENT ON COLUMN plans.plan_id IS 'A digest of the cluster and the moves: the same plan has the same id.';
COMMENT ON COLUMN plans.kind IS 'A rebalance of everything, or the move of one shard.';
COMMENT ON COLUMN plans.plan IS 'The plan as it was shown, and as it is carried out.';
COMMENT ON COLUMN plans.state IS 'Shown, running, done, or aborted.';
COMMENT ON COLUMN plans.shown_at IS 'When it was last shown, by the clock of the database.';
COMMENT ON COLUMN plans.begun_by IS 'Who began it.';
COMMENT ON COLUMN plans.begun_at IS 'When it was begun; null before.';

CREATE INDEX plans_running ON plans (begun_at) WHERE state = 'running';
