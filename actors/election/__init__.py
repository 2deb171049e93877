"""Leader election: the contract, its Redis and in-memory implementations, and how a term is won,
kept and given up."""
