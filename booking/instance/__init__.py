"""The parts of one running instance, as :mod:`booking.app` puts them together.

- beneath it: :mod:`~booking.instance.stores`, :mod:`~booking.instance.peering`;
- what it shows: :mod:`~booking.instance.views`, and how well it knows it:
  :mod:`~booking.instance.freshness`;
- what it does besides answering: :mod:`~booking.instance.background`,
  :mod:`~booking.queue.keeper`, :mod:`~booking.queue.presence_reports`;
- how it is doing: :mod:`~booking.instance.readiness`, :mod:`~booking.instance.succession`, and in
  numbers: :mod:`~booking.instance.gauges`, :mod:`~booking.instance.cluster_numbers`, whose meanings
  are in :mod:`~booking.instance.measures`;
- where it listens: :mod:`~booking.instance.edges`.
"""
