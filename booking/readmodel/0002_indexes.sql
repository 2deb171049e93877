-- What queries need at ten million reservations: docs/explanation/queries.md has the measurements.
-- compatible_from: 1

-- Reservations of a user, pending ones among them, and of a seat. Who asks for either gets both
-- indexes in one plan (BitmapOr).
CREATE INDEX seat_reservation_user ON seat_reservation (user_id);
CREATE INDEX seat_reservation_seat ON seat_reservation (seat_id);

-- Holds that are over: one in a few hundred rows is pending, and only those are in the index.
CREATE INDEX seat_reservation_pending ON seat_reservation (expires_at) WHERE status = 'PENDING';

CREATE INDEX payment_user ON payment (user_id);
CREATE INDEX payment_reservation ON payment (seat_reservation_id);
CREATE INDEX cash_history_user ON cash_history (user_id, created_at);
CREATE INDEX waiting_queue_user ON waiting_queue (user_id);
