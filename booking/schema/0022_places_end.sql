-- Places in queues that nobody asks for any more go, and from where on they are all there. Only adds.
-- compatible_from: 7

CREATE TABLE queue_ends (
    queue text   COLLATE "C" PRIMARY KEY,
    seq   bigint NOT NULL
);

COMMENT ON TABLE queue_ends IS
    'Up to where the places of a queue that were left are deleted: their events are archived.';
COMMENT ON COLUMN queue_ends.queue IS 'The name of the queue.';
COMMENT ON COLUMN queue_ends.seq IS
    'Places that were left up to this event, in the shard of the queue, are deleted.';
