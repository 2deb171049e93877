"""An actor runtime for asyncio: many entities, one writer for each, a journal beneath them.

It knows nothing of concerts. Read in this order: :mod:`actors.address` (who is written to),
:mod:`actors.behaviour` (what an application says about its entities), :mod:`actors.journal`
(where decisions become true), :mod:`actors.shard` (the one writer), :mod:`actors.lane` (group
commit), :mod:`actors.runtime` (the whole).
"""
