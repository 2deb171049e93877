"""How stores are reached: pooled PostgreSQL and Redis connections, named SQL statements, and the
in-memory twin that can be made to fail."""
