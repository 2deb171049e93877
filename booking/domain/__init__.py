"""The domain: pure functions over frozen Structs. Nothing here reads a clock, draws a random
number, does I/O or imports anything but the standard library and msgspec.

Each entity has commands (imperative), events (past tense), a state, ``decide`` and ``evolve``.
A rejection is a value with a stable code; an exception is a broken invariant.
"""
