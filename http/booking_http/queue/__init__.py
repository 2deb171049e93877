"""The edge of the waiting queue."""
