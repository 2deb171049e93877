"""How stores are reached: pooled PostgreSQL and Redis connections, and named SQL statements."""
