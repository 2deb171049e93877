"""Websockets: the place in the queue and the seats of a date, pushed as they change.

In reading order: ``limits`` (every number), ``frames`` (RFC 6455 as bytes in and out),
``messages`` (what is said), ``codes`` (how it ends), ``socket`` (one client), ``handshake`` (from a
request to a socket), ``spread`` (work dealt out over a time), the ``subscribers`` of queues and of
seats beside their calls, ``hub`` (all sockets, and the one loop that serves them), ``calls``,
``asyncapi`` (the document).

No task and no timer belongs to a client. One loop looks at the versions of queues and dates and
writes to the transports without waiting: who has not taken what was written before is passed over,
and told the newest state later. So memory does not grow with a slow client, and nobody waits for
one.

The ``Origin`` of a browser is not looked at: it protects users whose browser sends a cookie along
by itself, and there are none here. Whoever opens a socket has to have the token.
"""
