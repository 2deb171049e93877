-- Whom we tell of events over HTTP, and what there is to tell. Only adds.
-- compatible_from: 7

CREATE TABLE webhook_endpoints (
    id            text        PRIMARY KEY,
    url           text        NOT NULL,
    about         text        NOT NULL DEFAULT '',
    types         text[]      NOT NULL DEFAULT '{}',
    secret        text        NOT NULL,
    old_secret    text        NOT NULL DEFAULT '',
    old_until     timestamptz NOT NULL DEFAULT '-infinity',
    enabled       boolean     NOT NULL DEFAULT true,
    trouble       text        NOT NULL DEFAULT '',
    failing_since timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE webhook_endpoints IS
    'Addresses that are told of events. In the first database of the journal; empty in the others.';
COMMENT ON COLUMN webhook_endpoints.id IS 'Random.';
COMMENT ON COLUMN webhook_endpoints.url IS 'Where events are posted to.';
COMMENT ON COLUMN webhook_endpoints.about IS 'What operators call it.';
COMMENT ON COLUMN webhook_endpoints.types IS 'The public types of events that it wants; none: all.';
COMMENT ON COLUMN webhook_endpoints.secret IS
    'Signs what is sent, as Standard Webhooks has it (whsec_...). It cannot be kept as a hash.';
COMMENT ON COLUMN webhook_endpoints.old_secret IS 'The one before, which signs too until then.';
COMMENT ON COLUMN webhook_endpoints.old_until IS 'How long.';
COMMENT ON COLUMN webhook_endpoints.enabled IS 'One that is not is told nothing, and misses what happens.';
COMMENT ON COLUMN webhook_endpoints.trouble IS 'What it answered last, if that was no success.';
COMMENT ON COLUMN webhook_endpoints.failing_since IS 'The first failure after the last success.';
COMMENT ON COLUMN webhook_endpoints.created_at IS 'By the clock of the database.';

CREATE TABLE webhook_deliveries (
    endpoint text        NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
    event    text        NOT NULL,
    type     text        NOT NULL,
    body     text        NOT NULL,
    state    text        NOT NULL DEFAULT 'pending'
                         CHECK (state IN ('pending', 'delivered', 'dead')),
    made_at  timestamptz NOT NULL DEFAULT now(),
    due_at   timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    attempts integer     NOT NULL DEFAULT 0,
    status   integer     NOT NULL DEFAULT 0,
    trouble  text        NOT NULL DEFAULT '',
    PRIMARY KEY (endpoint, event)
);

COMMENT ON TABLE webhook_deliveries IS
    'One event for one endpoint. Written in the transaction of the offset of the consumer `webhooks`, so there is exactly one.';
COMMENT ON COLUMN webhook_deliveries.endpoint IS 'For whom.';
COMMENT ON COLUMN webhook_deliveries.event IS 'The id of the public event, which receivers know repeats by.';
COMMENT ON COLUMN webhook_deliveries.type IS 'Its public type.';
COMMENT ON COLUMN webhook_deliveries.body IS 'What is posted, byte for byte.';
COMMENT ON COLUMN webhook_deliveries.state IS
    'Pending; delivered: it was answered with success; dead: given up, an operator may send it again.';
COMMENT ON COLUMN webhook_deliveries.made_at IS 'When it was written, by the clock of the database.';
COMMENT ON COLUMN webhook_deliveries.due_at IS
    'When it is to be sent, if it is pending. Whoever takes it moves this to the end of a lease, so that it comes again if they die.';
COMMENT ON COLUMN webhook_deliveries.ended_at IS 'When it was no longer pending.';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'How often it was taken; only the newest one may fail it.';
COMMENT ON COLUMN webhook_deliveries.status IS 'The last HTTP status; 0 for no answer.';
COMMENT ON COLUMN webhook_deliveries.trouble IS 'Why the last attempt was no success.';

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, due_at)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint, state, made_at);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at)
    WHERE ended_at IS NOT NULL;
