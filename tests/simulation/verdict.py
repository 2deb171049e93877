"""Whether what users were told is so: at each answer, and at the end of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from actors.behaviour import CommandKey
from actors.errors import KeyInFlightError, UnavailableError
from booking.calls import QueueToken, TokenError, command_key, step_key
from booking.domain.decision import Rejected
from booking.entities import seat_address
from booking.queue.service import NotAdmittedError
from tests.simulation.calls import Call, seat_states
from tests.simulation.truth import Violation
from tests.support.journals import user_id

if TYPE_CHECKING:
    from tests.simulation.instances import Instance
    from tests.simulation.story import Story

STALE_S = 1.3
"""How old an owner's answer may be after its shard was taken from it while it lives: it looks at
its leases each second."""
JUST_BEFORE_S = 0.001
VIEW_STALE_S = 2.3
"""How old a view may be beside that."""
SETTLE_MAX_S = 20.0
"""A recovery that failed is tried again after 15 s."""
OVERDUE_MS = 3_000
REPEATS_MAX = 100
VIEW_LOOKS = 40
"""Four a second: what could not be read is read again with a back-off."""


# -- at each answer --------------------------------------------------------------------------------


def judge(story: Story, call: Call) -> None:
    """Check an answer against the journal of that moment."""
    _check_deadline(story, call)
    if call.error is not None:
        return
    match call.ask.route:
        case "balance":
            _check_balance(story, call)
        case "seats":
            _check_seats(story, call)
        case "gate":
            _check_token(story, call, call.value)
        case "reservation" | "payment" if call.fact is not None and not call.replayed:
            _check_token(story, call, _token_of(call))
        case "status" if call.value.active:
            _check_token(story, call, _token_of(call))
    truth = story.truth
    if call.fact is not None and call.fact not in truth.facts | truth.lost_facts:
        words = f"{call.ask.words} of {call.user}: {call.words}, and the journal has no such thing"
        story.broke(Violation("I3", words))


def _token_of(call: Call) -> QueueToken:
    return call.instance.app.services.queue.read_token(call.ask.token)


def _refused(value: Any) -> bool:
    return isinstance(value, Rejected)


def _check_deadline(story: Story, call: Call) -> None:
    """I9: within its deadline, and what time a fault took."""
    assert call.ended_s is not None
    took_s = call.ended_s - call.began_s
    if took_s > call.limit_s:
        story.broke(Violation("I9", f"{call.ask.words} took {took_s:.1f} s"))


def _since(story: Story, call: Call, stale_s: float) -> float:
    """From when on something must have been so. An owner that cannot look at its leases, or has
    not noticed yet that the store forgot something, says what it knew before."""
    since_s = call.began_s - stale_s
    for from_s, until_s in story.blind:
        if until_s >= since_s:
            since_s = min(since_s, from_s - stale_s)
    if story.lost_s is not None and story.lately_lost(call.began_s):
        since_s = min(since_s, story.lost_s - JUST_BEFORE_S)
    return since_s


def _check_balance(story: Story, call: Call) -> None:
    assert call.ended_s is not None
    possible = story.truth.balances[call.user_id].during(_since(story, call, STALE_S), call.ended_s)
    if call.value not in possible:
        words = f"{call.user} is told a balance of {call.value}, the journal says {possible}"
        story.broke(Violation("read", words))


def _check_seats(story: Story, call: Call) -> None:
    assert call.ended_s is not None
    date = call.ask.words.split()[-1]
    for number, state in call.value.items():
        address = seat_address(date, number).text
        since_s = _since(story, call, STALE_S + VIEW_STALE_S)
        possible = story.truth.seats[address].during(since_s, call.ended_s)
        if state not in possible:
            words = f"{date}-{number} is shown as {state}, the journal says {possible}"
            story.broke(Violation("read", words))


def _check_token(story: Story, call: Call, token: QueueToken) -> None:
    """I8: what opens is the token of somebody who is inside."""
    assert call.ended_s is not None
    since_s = _since(story, call, STALE_S + VIEW_STALE_S)
    possible = story.truth.places[token.number].during(since_s, call.ended_s)
    if ("inside", token.user) not in possible:
        words = f"number {token.number} of {call.user} opens, the journal says {possible}"
        story.broke(Violation("I8", words))


# -- until everything is as if nothing had happened ------------------------------------------------


async def settle(story: Story) -> None:
    """Wait until all is served again, and everything that ends by itself has ended."""
    ends_s = story.now_s + SETTLE_MAX_S
    while story.now_s < ends_s:
        await story.bury()
        story.accept_losses()
        if not problems(story):
            break
        await asyncio.sleep(0.25)
    else:
        for check, words in problems(story):
            story.broke(Violation(check, f"{words}, {SETTLE_MAX_S:.0f} s after all was mended"))
    story.note("fault", "", "everything has come to rest")


def problems(story: Story) -> list[tuple[str, str]]:
    found = []
    for instance in story.alive:
        problem = instance.app.node.availability.problem()
        if problem is not None:
            found.append(("heals", f"{instance.name}: {problem}"))
        if waiting := instance.app.node.runtime.shards.waiting:
            found.append(("heals", f"{instance.name}: an operator is needed for {sorted(waiting)}"))
    for words in story.truth.overdue(OVERDUE_MS):
        check, _, rest = words.partition(": ")
        found.append((check, rest))
    asking = [call for call in story.calls if call.ended_s is None]
    found += [("I9", f"{call.ask.words} of {call.user} has no answer") for call in asking]
    return found


# -- at the end ------------------------------------------------------------------------------------


async def close(story: Story) -> None:
    """Compare everything that was ever told with the journal, and with what is told now."""
    story.truth.audit()
    _check_keys(story)
    _check_facts(story)
    _check_charges(story)
    await _check_memory(story)
    await _check_repeats(story)
    for instance in list(story.alive):
        await instance.process.spawn(instance.app.node.stop(5.0))
        await instance.process.spawn(instance.app.close())
    await story.bury()
    for instance in story.instances:
        for gap in instance.gaps:
            story.broke(Violation("view", f"{instance.name} was not told something: {gap}"))
        if (crashes := instance.crashes_unexplained) > 0:
            story.broke(Violation("crash", f"{crashes} crashes at {instance.name}"))


def _check_facts(story: Story) -> None:
    """I3: what was acknowledged is in the journal, but for what exactly the store has lost."""
    for call in story.calls:
        if call.fact is not None and call.fact not in story.truth.facts | story.truth.lost_facts:
            words = f"{call.ask.words} of {call.user} was told {call.words}, and it is lost"
            story.broke(Violation("I3", words))


def _check_charges(story: Story) -> None:
    """I3: what was acknowledged is in the journal once, and what was refused is not."""
    asked: dict[int, list[Call]] = {}
    for call in story.calls:
        if call.ask.route == "charge":
            asked.setdefault(call.ask.amount, []).append(call)
    for amount, tries in asked.items():
        times = story.truth.charges[amount]
        if times > (1 if tries[0].ask.attempt else len(tries)):
            story.broke(Violation("I3", f"a charge of {amount} was made {times} times"))
        if times and all(call.undone for call in tries):
            story.broke(Violation("I3", f"a charge of {amount} was refused and made"))


def _keyed(story: Story) -> dict[bytes, list[Call]]:
    """Tries with an outcome, by their key."""
    keyed: dict[bytes, list[Call]] = {}
    for call in story.calls:
        if call.ask.attempt is not None and call.final:
            keyed.setdefault(_key_of(call), []).append(call)
    return keyed


def _key_of(call: Call) -> bytes:
    assert call.ask.attempt is not None
    return command_key(call.user_id, call.ask.route, call.ask.attempt).id


def _outcome_lost(story: Story, call: Call) -> bool:
    """Whether the store forgot what it was told, by the account or by whom the account asked: why
    the queue refused one is stored with that step alone, and a lost hold is held again."""
    key = _key_of(call)
    stored = {key, step_key(CommandKey(key, b"")).id}
    return not stored.isdisjoint(story.lost_commands)


def _said(value: Any) -> bytes:
    """An outcome as it is told, to the letter."""
    return msgspec.json.encode(value)


def _check_keys(story: Story) -> None:
    """I3: one key, one outcome."""
    for tries in _keyed(story).values():
        first = tries[0]
        for other in tries[1:]:
            same = _said(other.value) == _said(first.value)
            if not same and not _outcome_lost(story, first):
                words = f"{first.ask.words} of {first.user}: {first.words}, then {other.words}"
                story.broke(Violation("I3", f"one key, two answers: {words}"))


async def _check_repeats(story: Story) -> None:
    """I3: a repeat of a key is told what was told first."""
    random = story.plan.random("repeats")
    for tries in _keyed(story).values():
        first = tries[0]
        if _outcome_lost(story, first):
            continue
        call = await _insist(story, first, random)
        if isinstance(call.error, TokenError | NotAdmittedError) and _place_lost(story, first):
            continue
        if call.final and _said(call.value) == _said(first.value) and call.replayed:
            continue
        words = f"{first.ask.words} of {first.user} was told {first.words}, and now {call.words}"
        story.broke(Violation("I3", words))
        return


def _place_lost(story: Story, call: Call) -> bool:
    """Whether the store forgot a number of this user's, or an admission."""
    return any(
        kind in ("place", "inside") and whose[-1] == call.user_id
        for kind, *whose in story.truth.lost_facts
    )


async def _insist(story: Story, first: Call, random: Any) -> Call:
    for _ in range(REPEATS_MAX):
        await story.bury()
        instance = random.choice(story.alive)
        call = await story.call(first.user, first.ask, instance, 30.0)
        if not isinstance(call.error, UnavailableError | KeyInFlightError):
            break
        await asyncio.sleep(0.1)
    return call


async def _check_memory(story: Story) -> None:
    """I2: every instance says of everybody what the journal says."""
    for instance in story.alive:
        for number in story.plan.users:
            if not instance.alive:
                break  # it was replaced, and has found that out only now
            user = user_id(number)
            wanted = story.truth.balances[user].now
            told = await _balance(story, instance, user)
            if told is None:
                story.broke(Violation("I9", f"{instance.name} cannot say what user {number} has"))
            elif told != wanted:
                words = f"{instance.name} says {told} of user {number}, the journal {wanted}"
                story.broke(Violation("I2", words))
        if instance.alive:
            await _check_views(story, instance)


async def _balance(story: Story, instance: Instance, user: str) -> int | None:
    """The balance as this instance says it; an owner may have died just now."""
    for _ in range(REPEATS_MAX):
        await story.bury()
        try:
            return await instance.process.spawn(instance.app.services.accounts.balance(user))
        except UnavailableError:
            await asyncio.sleep(0.1)
    return None


async def _check_views(story: Story, instance: Instance) -> None:
    """Views follow within their promise."""
    for _ in range(VIEW_LOOKS):
        wrong = list(_wrong_seats(story, instance))
        if not wrong:
            return
        await asyncio.sleep(0.25)
    story.broke(Violation("view", f"{instance.name} shows {', '.join(wrong)}"))


def _wrong_seats(story: Story, instance: Instance) -> list[str]:
    wrong = []
    for date in story.catalogue.schedules:
        try:
            shown = seat_states(instance.app.services.seats.seat_map(date))
        except UnavailableError as error:
            wrong.append(f"nothing of {date}: {error}")
            continue
        for number, state in shown.items():
            truly = story.truth.seats[seat_address(date, number).text].now
            if state != truly:
                wrong.append(f"{date}-{number} as {state}, it is {truly}")
    return wrong
