"""The service levels, measured: ``python -m bench.slo`` (docs/reference/service-levels.md).

``levels`` is the promise, ``story`` what each user does, ``load`` notes what became of it and when,
``rig`` starts ``booking up`` and breaks it, ``verdict`` compares, ``page`` draws.
"""
