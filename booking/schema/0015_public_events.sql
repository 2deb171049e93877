-- What public events have to know of queues. Only adds.
-- compatible_from: 7

CREATE TABLE queue_places (
    queue    text   COLLATE "C" NOT NULL,
    number   bigint NOT NULL,
    user_id  uuid   NOT NULL,
    left_seq bigint,
    PRIMARY KEY (queue, number)
);

COMMENT ON TABLE queue_places IS
    'Who has or had which place in a queue, from the journal, for public events: the journal admits and drops numbers. Written by each consumer that tells public events, all of them the same.';
COMMENT ON COLUMN queue_places.queue IS 'The name of the queue.';
COMMENT ON COLUMN queue_places.number IS 'In the order of coming.';
COMMENT ON COLUMN queue_places.user_id IS 'Whose place it is.';
COMMENT ON COLUMN queue_places.left_seq IS
    'The event that ended the place or the active time, in the shard of the queue; null before. Such a row is only needed to tell the past again.';

CREATE TABLE queue_draws (
    queue        text   COLLATE "C" NOT NULL,
    first_number bigint NOT NULL,
    last_number  bigint NOT NULL,
    seed         text   NOT NULL,
    PRIMARY KEY (queue, first_number)
);

COMMENT ON TABLE queue_draws IS
    'Draws of openings, from the journal, for public events: who came before one is admitted in the order that its seed gives.';
COMMENT ON COLUMN queue_draws.queue IS 'The name of the queue.';
COMMENT ON COLUMN queue_draws.first_number IS 'The first number that was drawn.';
COMMENT ON COLUMN queue_draws.last_number IS 'The last one.';
COMMENT ON COLUMN queue_draws.seed IS 'Decides the order.';
