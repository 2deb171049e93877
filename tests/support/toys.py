"""Tiny behaviours for tests of the runtime: each shows one thing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import (
    Ask,
    Behaviour,
    CommandKey,
    Decision,
    Tell,
    TimerFired,
    Turn,
)


class ToyBehaviour(Behaviour):
    """Codecs for behaviours whose events, commands and replies are plain JSON values."""

    def encode_event(self, event: Any) -> tuple[str, int, bytes]:
        return event[0], 1, msgspec.json.encode(event)

    def decode_event(self, event_type: str, version: int, payload: bytes) -> Any:
        return tuple(msgspec.json.decode(payload))

    def encode_state(self, state: Any) -> bytes:
        return msgspec.json.encode(state)

    def decode_state(self, data: bytes) -> Any | None:
        return msgspec.json.decode(data)

    def encode_reply(self, reply: Any) -> bytes:
        return msgspec.json.encode(reply)

    def decode_reply(self, data: bytes) -> Any:
        return msgspec.json.decode(data)

    def encode_command(self, command: Any) -> bytes:
        return msgspec.json.encode(command)

    def decode_command(self, data: bytes) -> Any:
        return msgspec.json.decode(data)


class Counter(ToyBehaviour):
    """``("add", n)`` adds and tells the sum, ``"get"`` tells it, ``"crash"`` crashes in decide,
    ``"poison"`` in evolve."""

    kind = "counter"

    def __init__(self) -> None:
        self.decided: list[tuple[Address, Any]] = []
        self.unreadable: set[str] = set()
        self.snapshots_readable = True

    def initial(self, address: Address) -> int:
        if address.key in self.unreadable:
            raise ValueError("secret words of a user")
        return 0

    def decide(self, turn: Turn) -> Decision:
        self.decided.append((turn.address, turn.command))
        match turn.command:
            case ("add", int(amount)):
                return Decision(turn.state + amount, [(turn.address, ("added", amount))])
            case ("pad", int(size)):
                return Decision(turn.state, [(turn.address, ("padded", "x" * size))])
            case "get":
                return Decision(turn.state)
            case "not yet":
                return Decision("come back", final=False)
            case "poison":
                return Decision(0, [(turn.address, ("added", 1)), (turn.address, ("poisoned",))])
            case ("elsewhere", Address() as other):
                return Decision(0, [(other, ("added", 1))])
            case _:
                raise ValueError("secret words of a user")

    def evolve(self, state: int, event: Any) -> int:
        match event:
            case ("added", amount):
                return state + int(amount)
            case ("padded", _):
                return state
            case _:
                raise ValueError("secret words of a user")

    def decode_state(self, data: bytes) -> Any | None:
        return super().decode_state(data) if self.snapshots_readable else None


class Alarm(ToyBehaviour):
    """``("set", ms)`` arms its timer, ``("unset",)`` disarms it; it counts how often it fired. With
    ``stubborn`` a fired timer changes nothing."""

    kind = "alarm"

    def __init__(self) -> None:
        self.fired: list[tuple[Address, int]] = []
        self.stubborn = False
        self.crashing = False

    def initial(self, address: Address) -> tuple[int | None, int]:
        return None, 0

    def decide(self, turn: Turn) -> Decision:
        match turn.command:
            case ("set", int(at_ms)):
                return Decision(turn.now_ms, [(turn.address, ("set", at_ms))])
            case ("unset",):
                return Decision(turn.now_ms, [(turn.address, ("set", None))])
            case TimerFired():
                self.fired.append((turn.address, turn.now_ms))
                if self.crashing:
                    raise ValueError("secret words of a user")
                return Decision(None, [] if self.stubborn else [(turn.address, ("rung",))])
            case _:
                return Decision(turn.state)

    def evolve(self, state: Any, event: Any) -> tuple[int | None, int]:
        match event:
            case ("set", at_ms):
                return at_ms, state[1]
            case _:
                return None, state[1] + 1

    def next_timer_ms(self, state: tuple[int | None, int]) -> int | None:
        return state[0]


class Pair(ToyBehaviour):
    """``("move", n)`` moves n to the entity's companion, its twin of the other name: one decision
    changes both or neither. ``"sum"`` tells both."""

    kind = "pair"

    def initial(self, address: Address) -> int:
        return 10

    def companions(
        self, address: Address, state: Any, command: Any, now_ms: int
    ) -> Sequence[Address]:
        return [twin_of(address)]

    def decide(self, turn: Turn) -> Decision:
        twin = twin_of(turn.address)
        match turn.command:
            case ("move", int(amount)):
                events = [(turn.address, ("changed", -amount)), (twin, ("changed", amount))]
                return Decision((turn.state - amount, turn.companions[twin] + amount), events)
            case "sum":
                return Decision(turn.state + turn.companions[twin])
            case _:
                raise ValueError("secret words of a user")

    def evolve(self, state: int, event: Any) -> int:
        return state + int(event[1])


def twin_of(address: Address) -> Address:
    return Address(address.kind, address.key, {"a": "b", "b": "a"}[address.name])


class Money(msgspec.Struct, frozen=True):
    """An account of the toy bank. ``sent`` are the transfers under way, by id."""

    balance: int = 0
    sent: Mapping[str, tuple[str, int, str, str]] = {}
    """To whom, how much, and the key of the command, as hexadecimal digits."""
    got: frozenset[str] = frozenset()
    """Transfers received, so that a repeat changes nothing."""


class Bank(ToyBehaviour):
    """Accounts with transfers as sagas.

    ``("deposit", id, n)``, ``("send", id, to, n)``, ``("receive", id, n)``, ``("settle", id, ok)``
    and ``"get"``; a deposit that is repeated counts again. An account whose key begins with
    ``closed`` refuses what it is sent, and then the sender gets the money back. Replies: the
    balance, ``["got", id]``, ``["sent", id]``, ``["refused", id]``.
    """

    kind = "bank"

    def initial(self, address: Address) -> Money:
        return Money()

    def decide(self, turn: Turn) -> Decision:
        state: Money = turn.state
        match turn.command:
            case ("deposit", str(transfer), int(amount)):
                event = ("received", transfer, amount)
                return Decision(state.balance + amount, [(turn.address, event)])
            case ("send", str(transfer), str(to), int(amount)):
                return self._send(turn, transfer, to, amount)
            case ("receive", str(transfer), int(amount)):
                if turn.address.key.startswith("closed"):
                    return Decision(["refused", transfer])
                return self._receive(turn, transfer, amount)
            case ("settle", str(transfer), bool(ok)):
                return self._settle(turn, transfer, ok)
            case "get":
                return Decision(state.balance)
            case _:
                raise ValueError("secret words of a user")

    def _receive(self, turn: Turn, transfer: str, amount: int) -> Decision:
        if transfer in turn.state.got:
            return Decision(["got", transfer])
        return Decision(["got", transfer], [(turn.address, ("received", transfer, amount))])

    def _send(self, turn: Turn, transfer: str, to: str, amount: int) -> Decision:
        if transfer in turn.state.sent:
            return Decision(awaits=transfer)
        if turn.state.balance < amount:
            return Decision(["refused", transfer])
        key = turn.key
        digits = ("", "") if key is None else (key.id.hex(), key.fingerprint.hex())
        event = ("sent", transfer, to, amount, *digits)
        return Decision(events=[(turn.address, event)], awaits=transfer)

    def _settle(self, turn: Turn, transfer: str, ok: bool) -> Decision:
        if transfer not in turn.state.sent:
            return Decision(["settled", transfer])
        event = (turn.address, ("settled" if ok else "returned", transfer))
        return Decision(
            ["sent" if ok else "refused", transfer],
            [event],
            settles=transfer,
            settles_key=self.saga_key(turn.state, transfer),
        )

    def evolve(self, state: Money, event: Any) -> Money:
        match event:
            case ("received", transfer, amount):
                return Money(state.balance + amount, state.sent, state.got | {transfer})
            case ("sent", transfer, to, amount, key, fingerprint):
                sent = {**state.sent, transfer: (to, amount, key, fingerprint)}
                return Money(state.balance - amount, sent, state.got)
            case (("settled" | "returned") as how, transfer):
                sent = {name: one for name, one in state.sent.items() if name != transfer}
                back = state.sent[transfer][1] if how == "returned" else 0
                return Money(state.balance + back, sent, state.got)
            case _:
                raise ValueError("secret words of a user")

    def unfinished(self, state: Money) -> Collection[str]:
        return state.sent.keys()

    def step(self, state: Money, saga: str, answers: Sequence[Any]) -> Ask | Tell:
        to, amount, _, _ = state.sent[saga]
        if not answers:
            return Ask(Address(self.kind, to), ("receive", saga, amount))
        return Tell(("settle", saga, answers[0][0] == "got"))

    def saga_key(self, state: Money, saga: str) -> CommandKey | None:
        _, _, key, fingerprint = state.sent[saga]
        return CommandKey(bytes.fromhex(key), bytes.fromhex(fingerprint)) if key else None

    def encode_state(self, state: Money) -> bytes:
        return msgspec.msgpack.encode(state)

    def decode_state(self, data: bytes) -> Any | None:
        return msgspec.msgpack.decode(data, type=Money)


class Shop(ToyBehaviour):
    """``("order", n)`` takes one of the shop's ``stock`` and writes the line ``line-n``, which is
    known to be empty at first: two companions, of which only one has to be loaded."""

    kind = "shop"

    def initial(self, address: Address) -> int:
        return 1 if address.name == "stock" else 0

    def companions(
        self, address: Address, state: Any, command: Any, now_ms: int
    ) -> Sequence[Address]:
        if command == "get":
            return ()
        return [Address(self.kind, address.key, name) for name in ("stock", f"line-{command[1]}")]

    def infer(self, address: Address, state_of: Callable[[Address], Any | None]) -> Any | None:
        return 0 if address.name.startswith("line-") else None

    def decide(self, turn: Turn) -> Decision:
        if turn.command == "get":
            return Decision(turn.state)
        stock, line = turn.companions
        if turn.companions[stock] < 1:
            return Decision("sold out")
        return Decision("sold", [(stock, ("changed", -1)), (line, ("changed", 1))])

    def evolve(self, state: int, event: Any) -> int:
        return state + int(event[1])


class Herald(ToyBehaviour):
    """``("tell", name)`` is answered at once, and follows up with one more on the counter of that
    name; ``("rest",)`` changes nothing of it."""

    kind = "herald"

    def initial(self, address: Address) -> tuple[str, ...]:
        return ()

    def decide(self, turn: Turn) -> Decision:
        return Decision("noted", [(turn.address, turn.command)])

    def evolve(self, state: tuple[str, ...], event: Any) -> tuple[str, ...]:
        return (*state, event[1]) if event[0] == "tell" else state

    def follow_ups(self, state: tuple[str, ...]) -> Collection[str]:
        return state

    def step(self, state: Any, saga: str, answers: Sequence[Any]) -> Ask | Tell | None:
        return None if answers else Ask(Address("counter", saga), ("add", 1))


class Crowd(ToyBehaviour):
    """``("add", name)`` numbers a name, ``("drop", number)`` forgets it, ``"get"`` counts them. Ten
    names are a page. It notes which pages were encoded and decoded."""

    kind = "crowd"
    page_size = 10

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.decoded: list[int] = []
        self.pages_readable = True

    def initial(self, address: Address) -> tuple[int, Mapping[int, Mapping[str, str]]]:
        return 0, {}

    def decide(self, turn: Turn) -> Decision:
        last, pages = turn.state
        match turn.command:
            case ("add", str(name)):
                return Decision(last + 1, [(turn.address, ("added", last + 1, name))])
            case ("drop", int(number)):
                return Decision(number, [(turn.address, ("dropped", number))])
            case _:
                return Decision(sum(map(len, pages.values())))

    def evolve(self, state: Any, event: Any) -> Any:
        last, pages = state
        number = event[1]
        page = dict(pages.get(number // self.page_size, {}))
        if event[0] == "added":
            page[str(number)] = event[2]
            last = number
        else:
            del page[str(number)]
        rest = {n: old for n, old in pages.items() if n != number // self.page_size}
        return last, dict(
            sorted({**rest, number // self.page_size: page}.items())
        ) if page else rest

    def pages(self, state: Any) -> Mapping[int, Any]:
        pages: Mapping[int, Any] = state[1]
        return pages

    def encode_page(self, page: Any) -> bytes:
        self.encoded.append(int(next(iter(page))) // self.page_size)
        return msgspec.json.encode(page)

    def with_page(self, state: Any, number: int, data: bytes) -> Any | None:
        self.decoded.append(number)
        last, pages = state
        return (last, {**pages, number: msgspec.json.decode(data)}) if self.pages_readable else None

    def encode_state(self, state: Any) -> bytes:
        return msgspec.json.encode(state[0])

    def decode_state(self, data: bytes) -> Any | None:
        return msgspec.json.decode(data), {}
