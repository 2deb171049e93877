"""Websockets: the place in the queue and the seats of a date, pushed as they change.

In reading order: ``limits`` (every number), ``frames`` (RFC 6455 as bytes in and out),
``messages`` (what is said), ``codes`` (how it ends), ``socket`` (one client), ``handshake`` (from a
request to a socket), ``spread`` (work dealt out over a time), the ``subscribers`` of queues and of
seats beside their calls, ``hub`` (all sockets, and the one loop that serves them), ``calls``,
``asyncapi`` (the document).

No task and no timer belongs to a client. One loop compares the versions of queues and dates and
writes to the transports without waiting. It passes over a client that has not read the last push,
and sends it the newest state later. So a slow client costs no memory and delays nobody.

The ``Origin`` of a browser is ignored: it protects users whose browser sends cookies by itself, and
there are none here. A client has to send the token to open a socket.
"""
