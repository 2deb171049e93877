"""The domain: pure functions over frozen Structs, without clock, chance or I/O.

Each entity has commands (imperative), events (past tense), a state, ``decide`` and ``evolve``.
"""
