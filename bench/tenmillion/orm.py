"""The same cases as an ORM has them: SQLAlchemy 2 with its own asyncpg dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import BigInteger, DateTime, ForeignKey, Text, event, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncAttrs, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

from bench.tenmillion.cases import CASES, Case, samples
from bench.tenmillion.data import Sizes
from bench.tenmillion.stopwatch import Stopwatch, Times


class Finding(msgspec.Struct, frozen=True):
    """One case as the ORM does it."""

    key: str
    title: str
    statements: list[str]
    round_trips: float
    times: Times
    ours: Times
    """Our statement, in turn with it: prepared, and in no transaction unless it locks."""


class _Base(AsyncAttrs, DeclarativeBase):
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), int: BigInteger, str: Text}


class _User(_Base):
    __tablename__ = "users"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    cash: Mapped[_Cash] = relationship()


class _Cash(_Base):
    __tablename__ = "cash"
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    balance: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class _Reservation(_Base):
    __tablename__ = "seat_reservation"
    id: Mapped[str] = mapped_column(primary_key=True)
    seat_id: Mapped[str] = mapped_column(primary_key=True)
    concert_schedule_id: Mapped[str]
    user_id: Mapped[UUID]
    status: Mapped[str]
    price: Mapped[int]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    updated_at: Mapped[datetime]


async def _either(session: AsyncSession, user: str, seat: str) -> object:
    mine = or_(_Reservation.user_id == UUID(user), _Reservation.seat_id == seat)
    return (await session.scalars(select(_Reservation).where(mine))).all()


async def _due(session: AsyncSession, now: datetime) -> object:
    over = (_Reservation.status == "PENDING", _Reservation.expires_at < now)
    return (await session.scalars(select(_Reservation).where(*over))).all()


async def _pending(session: AsyncSession, user: str) -> object:
    mine = (_Reservation.user_id == UUID(user), _Reservation.status == "PENDING")
    return (await session.scalars(select(_Reservation).where(*mine))).all()


async def _cash_lazy(session: AsyncSession, user: str) -> object:
    found = await session.get_one(_User, UUID(user))
    return (await found.awaitable_attrs.cash).balance


async def _cash_joined(session: AsyncSession, user: str) -> object:
    found = await session.get_one(_User, UUID(user), options=[joinedload(_User.cash)])
    return found.cash.balance


async def _locked(session: AsyncSession, user: str) -> object:
    wanted = select(_User).options(joinedload(_User.cash, innerjoin=True))
    locked = wanted.where(_User.id == UUID(user)).with_for_update()
    return (await session.scalars(locked)).one().cash.balance


async def _exists(session: AsyncSession, user: str) -> object:
    mine = exists().where(_Reservation.user_id == UUID(user), _Reservation.status == "PENDING")
    return await session.scalar(select(mine))


Ask = Callable[..., Awaitable[object]]
ASKED: Sequence[tuple[str, str, Ask]] = (
    ("either", "`or_(...)`", _either),
    ("due", "`where(...)`", _due),
    ("pending", "`where(...)`", _pending),
    ("cash", "`get`, then the relationship, as it is by default", _cash_lazy),
    ("cash", "`get` with `joinedload`", _cash_joined),
    ("locked", "`joinedload`, `with_for_update`", _locked),
    ("exists", "`exists()`", _exists),
)


async def measure(url: str, sizes: Sizes, count: int) -> list[Finding]:
    """Each case so often, each time in a session and transaction of its own."""
    found = []
    for key, title, ask in ASKED:
        (case,) = (case for case in CASES if case.key == key)
        values = samples(case, sizes, count, seed=3)
        async with _engine(url) as engine:
            theirs, ours = await _in_turn(url, engine, ask, case, values)
            statements = await _statements(engine, ask, values[0])
        async with _counted(url) as (relayed, turns), _engine(relayed) as engine:
            await _run(engine, ask, values[:1])  # what is cached is cached now
            before = turns[0]
            await _run(engine, ask, values[:20])
            trips = (turns[0] - before) / len(values[:20])
        found.append(Finding(key, title, statements, trips, theirs, ours))
    return found


async def _in_turn(
    url: str, engine: AsyncEngine, ask: Ask, case: Case, values: Sequence[tuple[Any, ...]]
) -> tuple[Times, Times]:
    """The ORM and our statement with the same values, one after the other."""
    async with AsyncSession(engine) as session:
        backend = (await session.scalars(select(func.pg_backend_pid()))).one()
    connection = await asyncpg.connect(url)
    try:
        statement = await connection.prepare(case.sql)
        for each in values:
            await statement.fetch(*each)
        await _run(engine, ask, values)
        with Stopwatch(backend) as theirs, Stopwatch(connection.get_server_pid()) as ours:
            for each in values:
                with theirs.time():
                    await _run(engine, ask, [each])
                with ours.time():
                    if case.locks:
                        async with connection.transaction():
                            await statement.fetch(*each)
                    else:
                        await statement.fetch(*each)
    finally:
        await connection.close()
    return theirs.times(), ours.times()


@asynccontextmanager
async def _engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(asyncpg.connect, url),
        pool_size=1,
        max_overflow=0,
    )
    try:
        yield engine
    finally:
        await engine.dispose()


async def _run(engine: AsyncEngine, ask: Ask, values: Sequence[tuple[Any, ...]]) -> None:
    for each in values:
        async with AsyncSession(engine) as session, session.begin():
            await ask(session, *each)


async def _statements(engine: AsyncEngine, ask: Ask, value: tuple[Any, ...]) -> list[str]:
    """What it sends, but for the transaction's begin and end."""
    sent: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(" ".join(statement.split()))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    await _run(engine, ask, [value])
    event.remove(engine.sync_engine, "before_cursor_execute", note)
    return sent


@asynccontextmanager
async def _counted(url: str) -> AsyncIterator[tuple[str, list[int]]]:
    """An address that leads to the same server, and how often the client has waited for it: what it
    sends after an answer is another round trip."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    host = query.pop("host", "") or parts.hostname or ""
    there = int(query.pop("port", "") or parts.port or 5432)
    turns, answered = [0], [True]

    async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter, asks: bool) -> None:
        while data := await source.read(65_536):
            turns[0] += asks and answered[0]
            answered[0] = not asks
            to.write(data)
        to.close()

    async def relay(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            server, to = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{there}")
        else:
            server, to = await asyncio.open_connection(host, there)
        await asyncio.gather(pump(client, to, True), pump(server, back, False))

    listener = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    relayed = parts._replace(netloc=f"{user}@127.0.0.1:{port}", query=urlencode(query))
    async with listener:
        yield urlunsplit(relayed), turns
