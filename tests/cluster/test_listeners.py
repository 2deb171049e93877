"""Who listens at one instance hears what the owner of the queue at another one decides, and what
the next owner decides after that one was killed: over the same websocket, without a gap."""

from __future__ import annotations

from typing import Any

from booking.entities import queue_address
from tests.cluster.conftest import StartCluster
from tests.support.api_client import Api, eventually
from tests.support.websockets import Listener, listening_at

HEARD_AGAIN_MAX_S = 20.0
"""A takeover is promised within 8 s; a busy machine may need more."""
RARE = "/concert/seats/ws?concertScheduleId=rare"


class Heard:
    """The frames of one listener, none of which may be missing."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._seq = 0

    async def until(self, **wanted: Any) -> Any:
        """The place, as soon as it is so."""

        def is_so(frame: Any) -> bool:
            assert frame["type"] == "queue", frame
            assert frame["seq"] == self._seq + 1
            self._seq += 1
            return bool(wanted.items() <= frame["data"].items())

        return await self._listener.until(is_so, within_s=HEARD_AGAIN_MAX_S)


async def test_listeners_elsewhere_hear_every_owner(start_cluster: StartCluster) -> None:
    one_inside = {"BOOKING_QUEUE_MAX_ACTIVE": "1"}
    async with start_cluster(2, **one_inside) as running:
        name, _ = (await running.owners())[queue_address("main").slot]
        owner = running.by_name[name]
        (other,) = [each for each in running.instances if each is not owner]
        async with Api(other.url, fresh=True) as api:
            tokens = [(await api.enter())[1] for _ in range(3)]
            async with (
                listening_at(other.port, token=tokens[1]) as second,
                listening_at(other.port, token=tokens[2]) as third,
            ):
                next_in, last = Heard(second), Heard(third)
                await next_in.until(status="pending", ahead=0)
                await last.until(status="pending", ahead=1)
                assert (await api.leave(tokens[0])).status == 204
                await next_in.until(status="active")
                await last.until(status="pending", ahead=0)
                async with listening_at(other.port, RARE, tokens[1]) as seats:
                    first = await seats.frame("seats")
                    assert len(first["data"]["changed"]) == 40
                    owner.kill()

                    async def given_up() -> bool:
                        return (await api.leave(tokens[1])).status in (204, 401)

                    await eventually(given_up, within_s=HEARD_AGAIN_MAX_S)
                    await last.until(status="active")
                    for listener in (second, seats):
                        await listener.until(
                            lambda frame: frame["type"] == "ended", HEARD_AGAIN_MAX_S
                        )
                        assert await listener.closed() == 1008
