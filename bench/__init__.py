"""Measures the service from outside, over loopback, beside a bare aiohttp route.

Read in this order: ``client``, ``scenario`` (one user's story), ``load`` (closed and open loop),
``record``, ``workloads``, ``rig`` (the processes), ``run`` (two targets in turns, the command
line).
"""
