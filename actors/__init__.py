"""An actor runtime for asyncio: many entities, one writer for each, a journal beneath them.

What it is for: things that many want at the same moment, and that must not be given away twice.
An application tells in pure functions what a command does to one of them
(:class:`~actors.behaviour.Behaviour`: *decide* gives events and a reply, *evolve* the next state).
The runtime brings each command to the one coroutine in the whole cluster that may decide it, so
nothing takes a lock; and it holds every reply back until what it says is in the journal.

::

    runtime = Runtime(instance="east", incarnation="east-1", behaviours=[Book()],
                      journal=PostgresJournal(dsn), clock=SystemClock())
    await runtime.start()
    answer = await runtime.ask(Address("book", "emma"), Borrow("Ann"), key=key)

Entities have an address, and live in one of 256 slots by the hash of its key. A slot that somebody
serves is a *shard*: one writer, under one epoch. The journal takes rows only from the newest epoch
(the *fence*), so an instance that was replaced can do no harm, whatever it still believes. That is
the whole safety; everything else may be late, repeated or lost.

With it come timers that outlive crashes, operations over several entities (*sagas*), stored answers
for repeated commands, views that follow what became true, limits on everything that waits, and in
:mod:`actors.cluster` any number of instances that take shards over from each other.

It knows nothing of concerts; ``docs/how-to/use-the-runtime.md`` lends books with it. Read in this
order: :mod:`actors.address` (who is written to), :mod:`actors.behaviour` (what an application says
of its entities), :mod:`actors.journal.contract` (where decisions become true),
:mod:`actors.core.writer` (the one writer), :mod:`actors.core.shard` (what it holds),
:mod:`actors.core.lane` (group commit), :mod:`actors.runtime` (the whole),
:mod:`actors.cluster.node` (many of them).
"""
