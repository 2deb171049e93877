"""Logs and traces of an instance."""
