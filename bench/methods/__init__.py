"""Ways to let many change one thing, each with its real component, on the same work."""
