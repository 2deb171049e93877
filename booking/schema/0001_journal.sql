-- The journal and what belongs to it. Every table is keyed by shard first, so that all of a shard
-- can be moved as one and no statement needs more than the shards it names.
-- docs/reference/journal-schema.md tells the reasons at length.

CREATE TABLE shards (
    shard       smallint    PRIMARY KEY CHECK (shard BETWEEN 0 AND 255),
    epoch       bigint      NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    owner       text        NOT NULL DEFAULT '',
    incarnation text        NOT NULL DEFAULT '',
    claimed_at  timestamptz
) WITH (fillfactor = 10);

COMMENT ON TABLE shards IS
    'The leases: who owns which shard. An append locks its rows FOR SHARE and writes only where the epoch is still its own. Few rows a page, because each such lock dirties the row''s page.';
COMMENT ON COLUMN shards.shard IS 'The slot of actors/address.py: a stable hash of the entity''s key, modulo 256.';
COMMENT ON COLUMN shards.epoch IS 'Grows by one with every claim; 0 means never claimed.';
COMMENT ON COLUMN shards.owner IS 'Name of the instance that claimed last; empty before the first claim.';
COMMENT ON COLUMN shards.incarnation IS 'The run of that instance; never used twice.';
COMMENT ON COLUMN shards.claimed_at IS 'When, by the clock of the database; for people only.';

INSERT INTO shards (shard) SELECT generate_series(0, 255);

CREATE TABLE epochs (
    shard       smallint    NOT NULL,
    epoch       bigint      NOT NULL,
    owner       text        NOT NULL,
    incarnation text        NOT NULL,
    claimed_at  timestamptz NOT NULL,
    PRIMARY KEY (shard, epoch)
);

COMMENT ON TABLE epochs IS
    'Every claim ever made, so that an audit can show one incarnation for each epoch.';
COMMENT ON COLUMN epochs.shard IS 'The shard that was claimed.';
COMMENT ON COLUMN epochs.epoch IS 'The epoch that began with this claim.';
COMMENT ON COLUMN epochs.owner IS 'Name of the instance that claimed.';
COMMENT ON COLUMN epochs.incarnation IS 'The run of that instance.';
COMMENT ON COLUMN epochs.claimed_at IS 'When, by the clock of the database; for people only.';

-- The eight-byte columns come first: no padding between them.
CREATE TABLE journal (
    seq     bigint   NOT NULL,
    epoch   bigint   NOT NULL,
    entity  bigint   NOT NULL,
    at_ms   bigint   NOT NULL,
    shard   smallint NOT NULL,
    version smallint NOT NULL,
    address text     NOT NULL,
    type    text     NOT NULL,
    command bytea,
    payload json     NOT NULL,
    PRIMARY KEY (shard, seq)
);

-- Finds an entity's events. Without the shard it is a quarter smaller; a reader filters by shard
-- and address too, because two addresses may have one hash.
CREATE INDEX journal_entity ON journal (entity, seq);

COMMENT ON TABLE journal IS
    'What happened. Rows are only ever inserted; seq is gapless within a shard and epoch never falls.';
COMMENT ON COLUMN journal.shard IS 'The shard of the entity.';
COMMENT ON COLUMN journal.seq IS 'Place within the shard, from 1.';
COMMENT ON COLUMN journal.epoch IS 'The epoch under which the row was written.';
COMMENT ON COLUMN journal.entity IS 'A signed 64-bit hash of the address, small enough for an index.';
COMMENT ON COLUMN journal.at_ms IS
    'Time of the decision, milliseconds since 1970 in UTC: to_timestamp(at_ms / 1000.0).';
COMMENT ON COLUMN journal.version IS 'Version of the payload''s shape for this type.';
COMMENT ON COLUMN journal.address IS 'The entity the event belongs to, as kind/key or kind/key/name.';
COMMENT ON COLUMN journal.type IS 'Event type.';
COMMENT ON COLUMN journal.command IS 'The 16 bytes that name the command it came from, if it had a key.';
COMMENT ON COLUMN journal.payload IS 'The event itself.';

CREATE TABLE snapshots (
    seq     bigint   NOT NULL,
    epoch   bigint   NOT NULL,
    shard   smallint NOT NULL,
    address text     NOT NULL,
    state   bytea    NOT NULL,
    PRIMARY KEY (shard, address)
) WITH (fillfactor = 80);

COMMENT ON TABLE snapshots IS
    'The newest stored state of an entity, to be completed by its journal rows of a higher seq. Every row may be deleted: it only saves reading.';
COMMENT ON COLUMN snapshots.shard IS 'The shard of the entity.';
COMMENT ON COLUMN snapshots.address IS 'The entity.';
COMMENT ON COLUMN snapshots.epoch IS 'The epoch under which the row was written.';
COMMENT ON COLUMN snapshots.seq IS 'The state is the one after all the entity''s events up to and including this seq.';
COMMENT ON COLUMN snapshots.state IS 'Encoded by the entity''s behaviour.';

CREATE TABLE outcomes (
    at_ms       bigint   NOT NULL,
    shard       smallint NOT NULL,
    command     bytea    NOT NULL,
    fingerprint bytea    NOT NULL,
    reply       bytea    NOT NULL,
    epoch       bigint   NOT NULL,
    PRIMARY KEY (shard, command)
);

CREATE INDEX outcomes_at ON outcomes (at_ms);

COMMENT ON TABLE outcomes IS
    'Replies to commands that carry a key, written with their events, so that a repeat gets the first reply. Purged by age.';
COMMENT ON COLUMN outcomes.shard IS 'The shard of the entity that the command was for.';
COMMENT ON COLUMN outcomes.at_ms IS 'Time of the reply, milliseconds since 1970 in UTC.';
COMMENT ON COLUMN outcomes.command IS 'The 16 bytes that name the command.';
COMMENT ON COLUMN outcomes.fingerprint IS 'The 16 bytes that name its content: the same command with another fingerprint is refused.';
COMMENT ON COLUMN outcomes.reply IS 'Encoded by the entity''s behaviour.';
COMMENT ON COLUMN outcomes.epoch IS 'The epoch under which the row was written.';

-- A row comes and goes with every timer and every saga, so dead rows are cleared away early.
CREATE TABLE wakes (
    shard   smallint NOT NULL,
    address text     NOT NULL,
    PRIMARY KEY (shard, address)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

COMMENT ON TABLE wakes IS
    'Entities with a timer or an unfinished saga: the next owner of the shard loads them at once.';
COMMENT ON COLUMN wakes.shard IS 'The shard of the entity.';
COMMENT ON COLUMN wakes.address IS 'The entity.';
