"""Which instance should own which shard: the planner, as pure functions, and the stored placement.

What this room decides is the desired owner; who *does* own a shard is the epoch in the journal.
The planner knows no clock, no I/O and no chance. In reading order:

- :mod:`actors.placement.inputs`: what a planner has to know, and the rules it plans by;
- :mod:`actors.placement.assignment`: what stays, what is fixed, who needs a home, and how many
  shards each instance should have;
- :mod:`actors.placement.planner`: homes for those, then balance by count;
- :mod:`actors.placement.rates`: then balance by commands a second;
- :mod:`actors.placement.plan`: the difference to now as moves, whether it still holds, and the
  load before and after;
- :mod:`actors.placement.progress`: which moves may run now;
- :mod:`actors.placement.contract`: the stores of placement and plans, implemented in
  ``memory``, ``postgres`` and ``partitioned``.
"""
