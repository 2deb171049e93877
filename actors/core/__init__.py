"""The single writer of a shard: mailboxes, activations, decisions, group commit, sagas and timers.

Nothing in here knows of other instances or of a particular store.
"""
