"""The edge of seats and reservations."""
