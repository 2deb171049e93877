"""The waiting queue: joining, waiting, admission and the queue token."""
