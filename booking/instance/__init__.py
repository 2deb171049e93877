"""The parts of one running instance, as :mod:`booking.app` and :mod:`booking.server` put them
together.

- beneath it: :mod:`~booking.instance.stores`;
- what it shows: :mod:`~booking.instance.views`;
- what it does besides answering: :mod:`~booking.instance.background`;
- how it is doing: :mod:`~booking.instance.health`, and in numbers :mod:`~booking.instance.metrics`.
"""
