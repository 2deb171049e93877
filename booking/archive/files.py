"""A segment as files: lines of JSON, compressed, and a manifest that says what they have to be.

The manifest comes last: without it there is no archive of the segment.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from hashlib import sha256
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

COLUMNS = (
    *("shard", "seq", "epoch", "entity", "at_ms", "version", "address", "type"),
    *("command", "payload"),
)
LEVEL = 3
"""Of compression: a higher one takes several times as long for a tenth less."""

Line = tuple[int, int, int, int, int, int, str, str, str | None, msgspec.Raw]
_decode = msgspec.json.Decoder(Line).decode


class ArchiveError(Exception):
    """An archive is not what its manifest says, or cannot be made; one line for the operator."""


class ShardRange(msgspec.Struct, frozen=True):
    """The rows of one shard: all from ``first`` to ``last``."""

    rows: int
    first: int
    last: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of rows has to be."""

    journal: str
    """The journal's name."""
    part: int
    """The database of the journal, from 0."""
    segment: int
    began_at: str
    closed_at: str
    file: str
    sha256: str
    """Of the compressed file."""
    rows_sha256: str
    """Of the lines in it."""
    rows: int
    shards: dict[str, ShardRange]
    columns: tuple[str, ...] = COLUMNS


def manifest_path(directory: Path, journal: str, part: int, segment: int) -> Path:
    """Where the manifest of a segment is."""
    return directory / f"{journal}-{part}-{segment:05}.json"


async def write_rows(
    path: Path, copy: Callable[[Callable[[bytes], Coroutine[Any, Any, None]]], Awaitable[object]]
) -> str:
    """Write what ``copy`` gives to the function it is called with; the SHA-256 of it."""
    digest = sha256()
    beside = path.with_suffix(".part")
    with beside.open("wb") as raw, gzip.GzipFile("", "wb", LEVEL, raw, 0) as file:

        async def take(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        await copy(take)
    _sync(beside)
    beside.rename(path)
    return digest.hexdigest()


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write it; from here on the archive of the segment is there."""
    beside = path.with_suffix(".part")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    _sync(beside)
    beside.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Of a file as it is."""
    with path.open("rb") as file:
        digest = sha256()
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def check(path: Path) -> Manifest:
    """Read back what a manifest names, to the last row. Raises :class:`ArchiveError`."""
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        file = path.parent / manifest.file
        if file_sha256(file) != manifest.sha256:
            raise ArchiveError(f"{file}: its SHA-256 is not the one in {path.name}")
        found, count = dict[str, ShardRange](), 0
        digest = sha256()
        for text, row in _lines(file):
            digest.update(text)
            count += 1
            known = found.get(str(row[0]))
            if known is not None and row[1] != known.last + 1:
                raise ArchiveError(f"{file}: row {row[1]} of shard {row[0]} follows {known.last}")
            first, rows = (row[1], 0) if known is None else (known.first, known.rows)
            found[str(row[0])] = ShardRange(rows + 1, first, row[1])
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise ArchiveError(f"{path}: {error}") from error
    if (count, found, digest.hexdigest()) != (manifest.rows, manifest.shards, manifest.rows_sha256):
        raise ArchiveError(f"{file}: its rows are not those of {path.name}")
    return manifest


def read_manifest(path: Path, digest: str) -> Manifest:
    """The manifest with this SHA-256, beside the file that it names. Raises
    :class:`ArchiveError`."""
    if not path.exists() or file_sha256(path) != digest:
        raise ArchiveError(f"{path} is not the archive that the database knows")
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    if file_sha256(path.parent / manifest.file) != manifest.sha256:
        raise ArchiveError(f"{manifest.file}: its SHA-256 is not the one in {path.name}")
    return manifest


def records(file: Path) -> Iterator[tuple[Any, ...]]:
    """The rows in a file, as a database takes them."""
    for _, (*row, command, payload) in _lines(file):
        yield (*row, None if command is None else bytes.fromhex(command), bytes(payload).decode())


def rows_of(
    directory: Path, journal: str, part: int, wanted: Mapping[int, str]
) -> Iterator[tuple[Any, ...]]:
    """The rows of these segments, each with its manifest's SHA-256, in order of shard and seq, as
    an audit reads them. Raises :class:`ArchiveError` if one is not there or is another."""
    found = []
    for segment, digest in sorted(wanted.items()):
        manifest = read_manifest(manifest_path(directory, journal, part, segment), digest)
        file = directory / manifest.file
        found.append((*row[:8], bytes(row[9]).decode()) for _, row in _lines(file))
    return merge(*found, key=itemgetter(0, 1))


def _lines(file: Path) -> Iterator[tuple[bytes, Line]]:
    with gzip.open(file, "rb") as lines:
        for text in lines:
            yield text, _decode(text)
