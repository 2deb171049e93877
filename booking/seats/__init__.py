"""Seats and reservations: holds, sales and the ledger of a date."""
