-- name: filled
-- The first users, whatever was read of the table before: `synchronize_seqscans` is off.
INSERT INTO filled (user_id, balance, created_at, updated_at)
SELECT user_id, balance, created_at, updated_at FROM cash LIMIT $1

-- name: rows_believed
SELECT reltuples FROM pg_class WHERE relname = 'seat_reservation'

-- name: distinct_believed
SELECT n_distinct FROM pg_stats WHERE tablename = 'seat_reservation' AND attname = $1

-- name: hide
-- One index from the planner, or show it again, which costs nothing.
UPDATE pg_index SET indisvalid = $2 WHERE indexrelid = $1::text::regclass

-- name: size
SELECT pg_relation_size($1::text::regclass)

-- name: updates
SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relid = $1::text::regclass

-- name: log_since
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1)

-- name: indexes
SELECT c.relname AS name, i.indrelid::regclass::text AS table_name,
       pg_get_indexdef(i.indexrelid) AS index, pg_get_constraintdef(k.oid) AS key
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid
 WHERE i.indrelid = ANY($1::text[]::regclass[])
 ORDER BY i.indexrelid
