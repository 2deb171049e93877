"""Segments of the journal that leave the database for files. See ``docs/how-to/archive.md``."""
