"""Who the journal is: what keeps the instances of one deployment together, and others away."""

from uuid import UUID

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """A journal's name, made once, and its generation, which each restore from a backup renews."""

    journal: UUID
    generation: int
    """Random; 0 in a journal from before there were generations."""
    renewed_ms: int = 0
    """When the generation began with a restore; 0 for the first one."""

    @property
    def cluster(self) -> str:
        """The cluster on this journal. A restored copy in its own generation has another name."""
        return f"{self.journal.hex}-{self.generation:x}"


FIRST = Identity(UUID(int=0), 0)
"""Of a journal that has not been given a name."""
