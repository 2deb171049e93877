"""Rendezvous hashing (highest random weight): where a shard goes when nothing else decides.

Every (shard, instance) pair draws a number that never changes; the highest wins. So a new instance
only takes shards, from everybody alike, and one that leaves only gives its own away.

D. Thaler, C. Ravishankar: "Using name-based mappings to increase hit rates", IEEE/ACM Transactions
on Networking 6(1), 1998. Weights: the logarithmic method of C. Schindelhauer, G. Schomaker:
"Weighted distributed hash tables", SPAA 2005. With h uniform in (0, 1), -ln(h)/w is exponentially
distributed with rate w, and the smallest of such is that of i with probability w_i / sum(w). Its
reciprocal, -w / ln(h), is the score used here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from actors.address import stable_hash

SCORES_KEPT_MAX = 65_536
"""Scores kept in memory, some 10 MB: 256 shards with 256 instance names. A lost one is made again
in a few microseconds."""


def draw(shard: int, instance: str) -> float:
    """The pair's number, between 0 and 1 without the ends, uniform over pairs.

    Made of the upper 52 bits of the hash: half a step more still fits a float's 53 bits exactly, so
    that it cannot round to 1, whose logarithm is 0.
    """
    bits = (stable_hash(f"{shard}@{instance}") % 2**64) >> 12
    return (bits + 0.5) / 2**52


@lru_cache(maxsize=SCORES_KEPT_MAX)
def score(shard: int, instance: str, weight: float = 1.0) -> float:
    """How much this instance is the shard's place; above 0, higher is better."""
    return -weight / math.log(draw(shard, instance))


def first_choice(shard: int, weights: Mapping[str, float]) -> str:
    """The instance with the highest score; of equal ones the first by name. There has to be one."""
    return min(weights, key=lambda name: (-score(shard, name, weights[name]), name))
