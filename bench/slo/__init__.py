"""The service levels, measured: ``python -m bench.slo`` (docs/reference/service-levels.md).

``verdict`` has the promises and compares, ``rig`` starts ``booking up``, breaks it and notes what
became of each request, ``page`` draws.
"""
