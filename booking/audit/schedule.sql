-- name: last_audit
-- The newest line of the operators' log that says how an audit ended. The log is short, and the line
-- near its end.
SELECT who, floor(extract(epoch FROM at) * 1000)::bigint AS at_ms, detail
  FROM operator_log
 WHERE what = 'audit'
 ORDER BY id DESC
 LIMIT 1

-- name: running_audit
-- Since when the connection is there that holds the audit's lock, whichever instance it belongs to.
-- An advisory lock on one bigint shows its halves as classid and objid (and objsubid 1).
SELECT floor(extract(epoch FROM a.backend_start) * 1000)::bigint
  FROM pg_locks l
  JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.classid::bigint = $1::bigint >> 32
   AND l.objid::bigint = $1::bigint & 4294967295

-- name: lock_audit
-- The session's, so that it ends with the connection, however that ends.
SELECT pg_try_advisory_lock($1)

-- name: note_audit
-- How an audit ended: what the next reader of last_audit finds.
INSERT INTO operator_log (who, what, detail) VALUES ($1, 'audit', $2::json)

-- name: followed
-- What the audit that follows the journal has told within a day, and how far it is behind; and how
-- many bytes of its log the database keeps for the slowest of those who follow that.
SELECT (SELECT count(*) FROM operator_log
         WHERE what = 'violation' AND at > now() - interval '1 day') AS told,
       (SELECT extract(epoch FROM now() - min(checked_at))::float8 FROM audit_offsets) AS behind_s,
       (SELECT max(CASE WHEN pg_is_in_recovery() THEN 0
                        ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) END)::float8
          FROM pg_replication_slots) AS slots_keep
