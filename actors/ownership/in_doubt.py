"""What was in doubt when a commit's answer was lost, and turns out to be in the journal: nobody has
heard of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from actors.address import Address
from actors.behaviour import Behaviour
from actors.core.context import ShardContext
from actors.core.replay import initial_state
from actors.core.supervision import where
from actors.journal.contract import Journal, Loaded
from actors.subscription import Change

log = logging.getLogger(__name__)


async def read_missed(
    journal: Journal, context: ShardContext, addresses: Sequence[Address], known_seq: int
) -> list[Change]:
    """What these entities of one shard have after ``known_seq``, in the order of seqs, one event a
    change; a change without events says that only the state is known, because a snapshot hides
    them. An entity that cannot be read is left out, as any other that crashes.

    Raises :class:`~actors.journal.contract.JournalError`.
    """
    missed: list[Change] = []
    for start in range(0, len(addresses), context.limits.loads_max):
        chunk = addresses[start : start + context.limits.loads_max]
        missed += await _read(journal, context, chunk, known_seq)
    return sorted(missed, key=lambda one: one.seq)


async def _read(
    journal: Journal,
    context: ShardContext,
    addresses: Sequence[Address],
    known_seq: int,
    *,
    whole: bool = False,
) -> list[Change]:
    missed: list[Change] = []
    outdated: list[Address] = []
    for loaded in await journal.load(addresses, whole=whole):
        address = loaded.address
        try:
            found = _missed_of(context.behaviours[address.kind], loaded, known_seq)
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            log.error("%s cannot be loaded: %s", address.text, where(error))
            context.counters.crashes += 1
            continue
        if found is None:
            outdated.append(address)
        else:
            missed += found
    if outdated:
        missed += await _read(journal, context, outdated, known_seq, whole=True)
    return missed


def _missed_of(behaviour: Behaviour, loaded: Loaded, known_seq: int) -> Sequence[Change] | None:
    """The entity's events after ``known_seq``, or ``None`` as :func:`actors.core.replay.fold`."""
    address, snapshot = loaded.address, loaded.snapshot
    state = initial_state(behaviour, loaded)
    if state is None:
        return None
    missed: list[Change] = []
    if snapshot is not None and snapshot.seq > known_seq:
        missed.append(Change(address, state, snapshot.epoch, snapshot.seq))
    for row in loaded.rows:
        event = behaviour.decode_event(row.type, row.version, row.payload)
        state = behaviour.evolve(state, event)
        if row.seq > known_seq:
            missed.append(Change(address, state, row.epoch, row.seq, [event], [row]))
    return missed
