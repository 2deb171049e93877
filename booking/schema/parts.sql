-- name: recorded
-- Which part of which journal this database holds; no row for a journal in one database.
SELECT journal, part, parts FROM journal_part

-- name: begun
-- Whether a shard was ever claimed here.
SELECT EXISTS (SELECT FROM epochs)

-- name: record
-- Remember it for good. The first to do so is right.
INSERT INTO journal_part (journal, part, parts)
VALUES ($1::uuid, $2::smallint, $3::smallint)
ON CONFLICT DO NOTHING
