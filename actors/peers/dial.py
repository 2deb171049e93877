"""Opening a link: connect, greet, and know whom one has got."""

from __future__ import annotations

import aiohttp

from actors.peers.frames import VERSION, Challenge, Hello, Proof, encode
from actors.peers.greeting import (
    NONCE_BYTES,
    NOT_UNDERSTOOD,
    Nonces,
    Secret,
    TurnedAwayError,
    check_words,
)
from actors.peers.limits import PeerLimits
from actors.peers.wire import hear

PEER_PATH = "/peers/link"
"""Where the endpoint has to be mounted."""

NOT_REACHED = (aiohttp.ClientError, OSError, TimeoutError, TurnedAwayError)
"""Why there is no link: nobody listens, or does not answer, or is not the one."""


class LinkSocket(aiohttp.ClientWebSocketResponse):
    """A websocket that can be cut, without waiting for what a dead peer will never read."""

    def abort(self) -> None:
        connection = self._conn
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


class Dialler:
    """Opens links from one instance to others."""

    def __init__(
        self, *, instance: str, incarnation: str, secret: Secret, nonces: Nonces, limits: PeerLimits
    ) -> None:
        self._instance = instance
        self._incarnation = incarnation
        self._secret = secret
        self._nonces = nonces
        self._limits = limits
        self._which = 0
        """The secret to try next, if there are several."""
        # Names are looked up at each connect: a cached address may be a dead one.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limits.links_max, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            ws_response_class=LinkSocket,
        )

    async def dial(self, url: str, wanted: str) -> tuple[LinkSocket, Challenge]:
        """A link to the wanted instance, both sides proved. Raises :data:`NOT_REACHED`."""
        socket = await self._session.ws_connect(
            url.rstrip("/") + PEER_PATH,
            compress=0,
            max_msg_size=self._limits.frame_bytes_max + 1,
            timeout=aiohttp.ClientWSTimeout(ws_close=self._limits.goodbye_s),
        )
        assert isinstance(socket, LinkSocket), "the session makes these"
        try:
            return socket, await self._greet(socket, wanted)
        except TurnedAwayError as error:
            await socket.close(code=error.code, message=str(error).encode()[:100])
            raise
        except BaseException:
            socket.abort()
            raise

    async def _greet(self, socket: LinkSocket, wanted: str) -> Challenge:
        hello = Hello(VERSION, self._instance, self._incarnation, self._nonces(NONCE_BYTES))
        await socket.send_bytes(encode(hello))
        challenge = await hear(socket, Challenge)
        check_words(challenge)
        if challenge.instance != wanted:
            # The address is an old one: somebody else listens there now.
            raise TurnedAwayError(NOT_UNDERSTOOD, f"{wanted} is wanted, not {challenge.instance}")
        proof = self._secret.proof("connects", hello, challenge, self._which)
        await socket.send_bytes(encode(proof))
        # Unless all goes well, another one is tried with the next attempt.
        self._which += 1
        self._secret.check("listens", hello, challenge, await hear(socket, Proof))
        self._which -= 1
        return challenge

    async def close(self) -> None:
        await self._session.close()
