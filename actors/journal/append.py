"""The append statement: fence, write and deduplicate at once.

The text is composed of those parts of ``append.sql`` that a batch has rows for: a part without rows
still costs a tenth of a millisecond of the server, a third of a small commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from actors.address import Address, stable_hash
from actors.connections.statements import Statement, numbered, texts
from actors.journal.contract import Batch

SEPARATOR = "\x1f"
"""ASCII's unit separator: as a control character never plain in JSON, nor in an address."""
_JOINT = SEPARATOR.encode()


@lru_cache(maxsize=65_536)
def located(address: Address) -> tuple[int, int, str]:
    """An entity's shard, hash and text. Cached for as many entities as an instance keeps in memory,
    so that hashing is paid once in an entity's active time."""
    text = address.text
    return address.slot, stable_hash(text), text


def tenures_of(batch: Batch) -> tuple[dict[int, int], set[int]]:
    """The epoch of each shard in the batch, and the shards that come with two: at least one of
    them is past, so nothing of theirs may be written."""
    tenures = batch.tenures()
    epochs = dict(tenures)
    if len(epochs) == len(tenures):
        return epochs, set()
    torn = {shard for shard, epoch in tenures if epochs[shard] != epoch}
    return {shard: epoch for shard, epoch in epochs.items() if shard not in torn}, torn


def statement_for(batch: Batch, epochs: Mapping[int, int]) -> tuple[Statement, dict[str, Any]]:
    """The statement that writes what the batch has for these shards, and its parameters."""
    values: dict[str, Any] = {"batch_shards": list(epochs), "batch_epochs": list(epochs.values())}
    parts: list[str] = []
    if batch.rows:
        parts.append("rows")
        values |= _row_columns(batch)
    if batch.outcomes:
        parts.append("outcomes")
        values |= _outcome_columns(batch)
    if batch.snapshots:
        parts.append("snapshots")
        values |= _snapshot_columns(batch)
    for part, armed in (("armed", True), ("disarmed", False)):
        timers = [timer for timer in batch.timers if timer.armed is armed]
        if timers:
            parts.append(part)
            values[f"{part}_shards"] = [timer.shard for timer in timers]
            values[f"{part}_addresses"] = [located(timer.address)[2] for timer in timers]
    return _compose(tuple(parts)), values


@cache
def _compose(parts: tuple[str, ...]) -> Statement:
    """``live`` and these parts as one statement that returns the live shards. At most 2^5 texts."""
    written = texts("actors.journal", "append.sql")
    ctes = ", ".join(f"{name} AS (\n{written[name]}\n)" for name in ("live", *parts))
    return numbered(f"WITH {ctes}\nSELECT shard FROM live")


def _row_columns(batch: Batch) -> dict[str, Any]:
    rows = batch.rows
    entities = [located(row.address) for row in rows]
    shards = [row.shard for row in rows]
    assert shards == [shard for shard, _, _ in entities], "an event of another shard"
    return {
        "row_shards": _numbers(shards),
        "row_seqs": _numbers([row.seq for row in rows]),
        "row_entities": _numbers([entity for _, entity, _ in entities]),
        "row_at_ms": _numbers([row.at_ms for row in rows]),
        "row_versions": _numbers([row.version for row in rows]),
        "row_addresses": _words(SEPARATOR.join([text for _, _, text in entities]), len(rows)),
        "row_types": _words(SEPARATOR.join([row.type for row in rows]), len(rows)),
        "row_commands": [row.command for row in rows],
        "row_payloads": _words(_JOINT.join([row.payload for row in rows]).decode(), len(rows)),
    }


def _numbers(values: list[int]) -> str:
    """An array literal. A list's own spelling is one, but for the brackets."""
    return f"{{{str(values)[1:-1]}}}"


def _words(joined: str, count: int) -> str:
    """So many words, joined by a character that none of them may contain."""
    assert joined.count(SEPARATOR) == count - 1, "a control character in a word of an event"
    return joined


def _outcome_columns(batch: Batch) -> dict[str, list[Any]]:
    outcomes = batch.outcomes
    return {
        "outcome_at_ms": [outcome.at_ms for outcome in outcomes],
        "outcome_shards": [outcome.shard for outcome in outcomes],
        "outcome_commands": [outcome.command for outcome in outcomes],
        "outcome_fingerprints": [outcome.fingerprint for outcome in outcomes],
        "outcome_replies": [outcome.reply for outcome in outcomes],
    }


def _snapshot_columns(batch: Batch) -> dict[str, list[Any]]:
    snapshots = batch.snapshots
    return {
        "snapshot_seqs": [snapshot.seq for snapshot in snapshots],
        "snapshot_shards": [snapshot.shard for snapshot in snapshots],
        "snapshot_addresses": [located(snapshot.address)[2] for snapshot in snapshots],
        "snapshot_states": [snapshot.state for snapshot in snapshots],
    }
