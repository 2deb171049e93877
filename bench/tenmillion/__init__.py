"""What queries on ten million reservations cost, before and after their indexes."""
