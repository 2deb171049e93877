"""Concert seat booking. :mod:`booking.domain` is the whole domain as pure functions; the rest of
this package puts it to work (settings, wiring, command line, embedded servers)."""

__version__ = "0.1.0"
