"""What /metrics says of the websockets."""

from __future__ import annotations

from tests.support.edge import ALICE, Edge, eventually
from tests.support.websockets import SEATS, RawSocket, masked


async def scrape(edge: Edge) -> str:
    return (await edge("GET", "/metrics")).body.decode()


async def test_sockets_pushes_and_closes_are_counted(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    queue = await RawSocket.open(edge, "/queue/ws", token)
    seats = await RawSocket.open(edge, SEATS, token)
    text = await scrape(edge)
    for line in (
        'booking_sockets{channel="queue"} 1.0',
        'booking_sockets{channel="seats"} 1.0',
        'booking_socket_pushes_total{channel="queue"} 1.0',
        'booking_socket_pushes_total{channel="seats"} 1.0',
        'booking_socket_pushes_skipped_total{channel="seats"} 0.0',
    ):
        assert f"{line}\n" in text
    await queue.send(masked(0x88, (4_242).to_bytes(2, "big")))
    seats.writer.transport.abort()
    await eventually(lambda: edge.server.sockets == 0)
    text = await scrape(edge)
    for line in (
        'booking_sockets{channel="queue"} 0.0',
        'booking_sockets_closed_total{code="other"} 1.0',
        'booking_sockets_closed_total{code="1006"} 1.0',
        'http_server_request_duration_seconds_count{http_request_method="GET",'
        'http_response_status_code="101",http_route="/queue/ws"} 1.0',
    ):
        assert f"{line}\n" in text


async def test_an_open_websocket_is_no_request_under_way(edge: Edge) -> None:
    await RawSocket.open(edge, "/queue/ws", await edge.enter(ALICE))
    assert edge.metrics.active == 0
