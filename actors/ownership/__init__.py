"""Which shards this instance owns: claims, fencing, and finding out what an unanswered commit
did."""
