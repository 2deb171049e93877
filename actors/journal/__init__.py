"""The journal, where a decision becomes true: the contract and its PostgreSQL, partitioned and
in-memory implementations."""
