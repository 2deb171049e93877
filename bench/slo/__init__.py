"""The service levels, measured: ``python -m bench.slo`` (docs/reference/service-levels.md)."""
