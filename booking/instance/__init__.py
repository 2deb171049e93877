"""The parts of one running instance, as :mod:`booking.app` puts them together."""
