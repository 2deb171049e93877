"""The catalogue at rest: its document (JSON), its tables, and the demo season.

:mod:`booking.catalogue.document` reads and checks a document, :mod:`booking.catalogue.store` moves
it in and out of Postgres, :mod:`booking.catalogue.demo` makes one up.
"""
