-- The journal for change data capture: docs/how-to/change-data-capture.md. It costs nothing until
-- somebody makes a slot. Only adds.
-- compatible_from: 7

DO $$
BEGIN
    -- Segment 0 repeats the last row that was archived. All partitions appear as the one table; a
    -- part of the journal in another schema of the database is another table of the publication.
    IF EXISTS (SELECT FROM pg_publication WHERE pubname = 'booking_journal') THEN
        ALTER PUBLICATION booking_journal ADD TABLE journal WHERE (segment > 0);
    ELSE
        CREATE PUBLICATION booking_journal FOR TABLE journal WHERE (segment > 0)
            WITH (publish = 'insert', publish_via_partition_root = true);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'no publication booking_journal: this role may not create one in the database';
END
$$;
