"""Websockets: the place in the queue and the seats of a date, pushed as they change.

In reading order: ``limits``, ``frames`` (RFC 6455), ``messages`` (what is said), ``codes`` (how it
ends), ``socket`` (one client), ``handshake``, ``spread``, the ``subscribers`` of queues and seats,
``hub`` (the one loop that serves all), ``calls``, ``asyncapi``.

No task and no timer belongs to a client: a slow one costs no memory and delays nobody. The
``Origin`` of a browser is ignored, because a client has to send its token.
"""
