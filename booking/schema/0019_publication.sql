-- The journal for change data capture: docs/how-to/change-data-capture.md. It costs nothing until
-- somebody makes a slot. Only adds.
-- compatible_from: 7

DO $$
BEGIN
    -- Segment 0 repeats the last row that was archived. All partitions appear as the one table.
    CREATE PUBLICATION booking_journal FOR TABLE journal WHERE (segment > 0)
        WITH (publish = 'insert', publish_via_partition_root = true);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'no publication booking_journal: this role may not create one in the database';
END
$$;
