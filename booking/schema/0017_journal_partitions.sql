-- The journal in segments, each a partition: the table of before is the first. Its rows are read once,
-- which stops nobody; then names change hands, within milliseconds. A program of the release before
-- this one finds the same columns under the same name.
-- compatible_from: 7

ALTER TABLE journal VALIDATE CONSTRAINT journal_segment;

-- Who waits for a lock keeps everybody waiting who comes later. A dump or an audit under way makes this
-- fail, to be repeated when it has ended.
SET LOCAL lock_timeout = '2s';
LOCK TABLE journal IN ACCESS EXCLUSIVE MODE;

ALTER TABLE journal RENAME TO journal_1;

CREATE TABLE journal (LIKE journal_1 INCLUDING DEFAULTS INCLUDING COMMENTS)
    PARTITION BY LIST (segment);

COMMENT ON TABLE journal IS
    'What happened. Rows are only ever inserted; seq is gapless within a shard and epoch never falls. One partition for each segment.';

ALTER TABLE journal ATTACH PARTITION journal_1 FOR VALUES IN (1);

CREATE TABLE journal_0 (LIKE journal INCLUDING COMMENTS, PRIMARY KEY (shard, seq));
CREATE INDEX journal_0_entity ON journal_0 (entity, seq);
ALTER TABLE journal ATTACH PARTITION journal_0 FOR VALUES IN (0);

COMMENT ON TABLE journal_0 IS
    'Of each shard the last row that was archived: the journal goes on behind it. Empty before anything was archived.';
COMMENT ON TABLE journal_1 IS 'The first segment of the journal.';

-- Who may read the table of before may read all of it.
DO $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC'
                                 ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = 'journal_1'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON journal TO %s', granted.privilege_type, granted.grantee);
    END LOOP;
END
$$;

CREATE VIEW journal_current AS
    SELECT seq, epoch, entity, at_ms, shard, version, address, type, command, payload
    FROM journal_1;

COMMENT ON VIEW journal_current IS 'The segment that is written to.';

CREATE TABLE journal_segments (
    began_at    timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz,
    archived_at timestamptz,
    segment     smallint    PRIMARY KEY,
    manifest    text        NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX journal_segments_open ON journal_segments ((true)) WHERE closed_at IS NULL;

COMMENT ON TABLE journal_segments IS 'The segments of the journal, those that were archived too.';
COMMENT ON COLUMN journal_segments.segment IS 'The number in the name of the partition.';
COMMENT ON COLUMN journal_segments.began_at IS 'All its rows were committed later, by the clock of the database.';
COMMENT ON COLUMN journal_segments.closed_at IS 'All its rows were committed before; null for the one that is written to.';
COMMENT ON COLUMN journal_segments.archived_at IS 'When its rows left the database for an archive; null before.';
COMMENT ON COLUMN journal_segments.manifest IS 'SHA-256 of that archive''s manifest; empty before.';

INSERT INTO journal_segments (segment, began_at)
SELECT 1, coalesce(to_timestamp((SELECT min(first.at_ms) FROM generate_series(0, 255) AS s (shard)
                                 CROSS JOIN LATERAL (SELECT at_ms FROM journal_1
                                                     WHERE shard = s.shard ORDER BY seq LIMIT 1
                                 ) AS first) / 1000.0), now());

CREATE TABLE journal_cuts (
    first_seq bigint   NOT NULL,
    shard     smallint NOT NULL,
    segment   smallint NOT NULL,
    PRIMARY KEY (shard, segment)
);

COMMENT ON TABLE journal_cuts IS
    'Where segments begin: who reads a shard from a seq on need not look into those before. Not of the first one.';
COMMENT ON COLUMN journal_cuts.shard IS 'The shard.';
COMMENT ON COLUMN journal_cuts.segment IS 'The segment.';
COMMENT ON COLUMN journal_cuts.first_seq IS 'Its first row of the shard, if it has one; those before are in earlier segments.';

CREATE FUNCTION journal_ends_with(of_shard smallint, of_seq bigint) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    last bigint := coalesce((SELECT max(seq) FROM journal WHERE shard = of_shard), 0);
BEGIN
    IF last > of_seq THEN
        RAISE EXCEPTION 'shard % has a row % already', of_shard, of_seq + 1
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN last = of_seq;
END
$$;

COMMENT ON FUNCTION journal_ends_with(smallint, bigint) IS
    'Whether this is the last row of the shard. Asked for its first row in a segment, so that no seq is in two.';

CREATE FUNCTION turn_journal(every interval) RETURNS boolean LANGUAGE plpgsql
-- Less than deadlock_timeout: of two who wait for each other, this one gives up.
SET lock_timeout = '200ms' AS $$
DECLARE
    old smallint;
    next smallint;
    begun boolean;
BEGIN
    -- A clock that was ahead for a while delays nothing.
    UPDATE journal_segments SET began_at = clock_timestamp()
    WHERE closed_at IS NULL AND began_at > clock_timestamp();
    SELECT segment, segment + 1 INTO old, next FROM journal_segments
    WHERE closed_at IS NULL AND began_at <= clock_timestamp() - every
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM journal_%s)', old) INTO begun;
    IF NOT begun THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE journal_%s (LIKE journal INCLUDING COMMENTS, PRIMARY KEY (shard, seq),
                    CONSTRAINT journal_segment CHECK (segment = %1$s))', next);
    EXECUTE format('CREATE INDEX journal_%s_entity ON journal_%1$s (entity, seq)', next);
    EXECUTE format('ALTER TABLE journal_%s ALTER COLUMN segment SET DEFAULT %1$s', next);
    EXECUTE format('COMMENT ON TABLE journal_%s IS ''A segment of the journal.''', next);
    -- From here on nobody appends: who does takes the lock of the view before those of tables. Then
    -- the journal, whose lock everybody else takes before those of partitions.
    EXECUTE format('CREATE OR REPLACE VIEW journal_current AS
                    SELECT seq, epoch, entity, at_ms, shard, version, address, type, command, payload
                    FROM journal_%s', next);
    LOCK TABLE ONLY journal IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('ALTER TABLE journal ATTACH PARTITION journal_%s FOR VALUES IN (%1$s)', next);
    EXECUTE format('ALTER TABLE journal ALTER COLUMN segment SET DEFAULT %s', next);
    INSERT INTO journal_cuts (shard, segment, first_seq)
    SELECT s.shard, next, 1 + coalesce((SELECT max(j.seq) FROM journal AS j WHERE j.shard = s.shard), 0)
    FROM shards AS s;
    UPDATE journal_segments SET closed_at = clock_timestamp() WHERE segment = old;
    INSERT INTO journal_segments (segment, began_at) VALUES (next, clock_timestamp());
    RETURN true;
END
$$;

COMMENT ON FUNCTION turn_journal(interval) IS
    'Begins another segment of the journal, unless that was done less than so long ago or nothing was written since.';

-- An entity whose events are archived is its snapshot.
CREATE FUNCTION keep_snapshot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM journal_0 WHERE shard = OLD.shard) THEN
        RAISE EXCEPTION 'events of shard % are archived: the snapshot of % is needed',
            OLD.shard, OLD.address;
    END IF;
    RETURN OLD;
END
$$;

COMMENT ON FUNCTION keep_snapshot() IS 'No snapshot of a shard is deleted once events of it are archived.';

CREATE TRIGGER kept BEFORE DELETE ON snapshots FOR EACH ROW EXECUTE FUNCTION keep_snapshot();
