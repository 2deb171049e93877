-- name: either
SELECT * FROM seat_reservation WHERE user_id = $1::uuid OR seat_id = $2

-- name: due
SELECT * FROM seat_reservation WHERE status = 'PENDING' AND expires_at < $1

-- name: pending
SELECT * FROM seat_reservation WHERE user_id = $1::uuid AND status = 'PENDING'

-- name: cash
SELECT u.id, u.created_at, c.balance, c.updated_at FROM users u JOIN cash c ON c.user_id = u.id WHERE u.id = $1::uuid

-- name: locked
SELECT u.id, u.created_at, c.balance, c.updated_at FROM users u JOIN cash c ON c.user_id = u.id WHERE u.id = $1::uuid FOR UPDATE

-- name: exists
SELECT EXISTS (SELECT FROM seat_reservation WHERE user_id = $1::uuid AND status = 'PENDING')

-- name: nothing
SELECT 1

-- Indexes that are tried and not kept.

-- name: user_pending
CREATE INDEX user_pending ON seat_reservation (user_id) WHERE status = 'PENDING'

-- name: status_expires
CREATE INDEX status_expires ON seat_reservation (status, expires_at)
