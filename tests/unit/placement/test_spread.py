"""How even it comes out: the table in docs/explanation/placement.md (run with ``-s`` to see it)."""

from __future__ import annotations

import math
import re

from actors.placement.inputs import Rules
from actors.placement.planner import first_choice
from tests.support.house import ROOT
from tests.support.placements import NAMES, counts_of, equal_nodes, owned, target, unowned

Line = tuple[int, float, float, int]


def worst_to_mean(counts: list[int]) -> float:
    return max(counts) * len(counts) / sum(counts)


def table() -> list[Line]:
    """Instances; worst to mean of plain rendezvous hashing and of the stored table, grown from one
    instance by one at a time; shards that the last join moved."""
    lines = []
    where = dict(target(equal_nodes(1), unowned()))
    for count in range(2, 17):
        names = NAMES[:count]
        weights = dict.fromkeys(names, 1.0)
        plain = {shard: first_choice(shard, weights) for shard in range(256)}
        after = dict(target(equal_nodes(count), owned(where), Rules()))
        moved = sum(after[shard] != where[shard] for shard in where)
        where = after
        spread = worst_to_mean(counts_of(where, names))
        lines.append((count, worst_to_mean(counts_of(plain, names)), spread, moved))
    return lines


def test_the_stored_table_is_as_even_as_the_documents_say() -> None:
    lines = table()
    rows = [f"| {n} | {plain:.2f} | {stored:.2f} | {moved} |" for n, plain, stored, moved in lines]
    print("\n" + "\n".join(rows))
    for count, plain, stored, moved in lines:
        assert stored == math.ceil(256 / count) * count / 256
        assert plain >= stored
        assert moved == 256 // count
    page = (ROOT / "docs" / "explanation" / "placement.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \d+ \| .* \|$", page, re.MULTILINE) == rows
