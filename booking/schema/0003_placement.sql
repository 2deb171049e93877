-- Who leads, where each shard ought to be, and what operators did. Only adds: a program of the
-- release before this one names its columns and goes on as if nothing had happened.

-- One row. A plan is written only under the term that is here at that moment.
CREATE TABLE leadership (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    term       bigint      NOT NULL DEFAULT 0 CHECK (term >= 0),
    holder     text        NOT NULL DEFAULT '',
    via        text        NOT NULL DEFAULT '' CHECK (via IN ('', 'redis', 'postgres')),
    expires_at timestamptz NOT NULL DEFAULT to_timestamp(0)
) WITH (fillfactor = 10);

COMMENT ON TABLE leadership IS
    'The leader that may write plans. Renewed every 1.5 s while there is one, whichever way it was elected.';
COMMENT ON COLUMN leadership.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN leadership.term IS 'Grows by one with every leader; 0 means that there never was one.';
COMMENT ON COLUMN leadership.holder IS 'The run of the instance that leads or led last.';
COMMENT ON COLUMN leadership.via IS 'How it holds its place: redis, or postgres while Redis is out of reach.';
COMMENT ON COLUMN leadership.expires_at IS
    'Until when nobody else may take its place, by the clock of the database.';

INSERT INTO leadership DEFAULT VALUES;

ALTER TABLE shards
    ADD COLUMN desired      text,
    ADD COLUMN desired_term bigint,
    ADD COLUMN pinned_to    text,
    ADD COLUMN frozen       text CHECK (frozen <> '');

COMMENT ON COLUMN shards.desired IS
    'Name of the instance that ought to own the shard, and alone may claim it from another; null before the first plan.';
COMMENT ON COLUMN shards.desired_term IS 'The term under which desired was written; never falls.';
COMMENT ON COLUMN shards.pinned_to IS 'The instance where an operator wants the shard, if any.';
COMMENT ON COLUMN shards.frozen IS 'Why the shard has to stay where it is; null if it need not.';

CREATE TABLE operator_log (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    who    text        NOT NULL,
    what   text        NOT NULL,
    detail json        NOT NULL
);

COMMENT ON TABLE operator_log IS
    'Every change an operator made, written in the statement that made it where that is one. Rows are only inserted.';
COMMENT ON COLUMN operator_log.id IS 'In the order of the statements'' beginnings; numbers may be left out.';
COMMENT ON COLUMN operator_log.at IS 'When, by the clock of the database.';
COMMENT ON COLUMN operator_log.who IS 'Who asked for it, as the admin side knows them.';
COMMENT ON COLUMN operator_log.what IS 'The change: pin, unpin, freeze, unfreeze, or another word of the admin side.';
COMMENT ON COLUMN operator_log.detail IS 'What it was about, as a JSON object.';
