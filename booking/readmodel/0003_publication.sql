-- The tables for change data capture. A schema that is built anew beside the present one joins the
-- publication, and the present tables leave it when they go.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_publication WHERE pubname = 'booking_read') THEN
        ALTER PUBLICATION booking_read ADD TABLE users, cash, cash_history, waiting_queue, concert,
            concert_schedule, seat, seat_reservation, payment;
    ELSE
        CREATE PUBLICATION booking_read FOR TABLE users, cash, cash_history, waiting_queue, concert,
            concert_schedule, seat, seat_reservation, payment;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'no publication booking_read: this role may not create one in the database';
END
$$;
