"""Which instance should own which shard, and the way there, as data.

Pure: no clock, no I/O, no chance. What this says is a wish (``desired``); who *does* own a shard is
the epoch in the journal. In reading order:

- :mod:`actors.placement.inputs`: what a planner has to know, and the rules it plans by;
- :mod:`actors.placement.rendezvous`: where a shard goes when nothing else decides;
- :mod:`actors.placement.shares`: how many shards each instance ought to have;
- :mod:`actors.placement.board`: what stays, what is fixed, who needs a home;
- :mod:`actors.placement.planner`: homes for those, then balance by count;
- :mod:`actors.placement.rates`: then balance by commands a second;
- :mod:`actors.placement.plan`: the difference to now as moves, with an id;
- :mod:`actors.placement.basis`: what a plan was based on, and whether it still holds;
- :mod:`actors.placement.pace`: which moves may run now;
- :mod:`actors.placement.load`: the figures for people.
"""
