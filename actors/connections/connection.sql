-- What every new connection is told.

-- name: configure
-- Settings of a new connection; those this server's version does not know are left out.
SELECT set_config(s.name, w.value, false)
FROM unnest(:names::text[], :settings::text[]) AS w (name, value)
JOIN pg_settings AS s ON s.name = w.name

-- name: keep_promises
-- An answer is a promise, so a commit waits for the disk, and for the standbys that the server waits
-- for, even if the server's default is not to: off, local and remote_write promise less.
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
