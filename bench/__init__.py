"""Measures the service from outside, over loopback, beside a bare aiohttp route.

Read in this order: :mod:`bench.client` (one connection), :mod:`bench.scenario` (the story of one
user), :mod:`bench.load` (closed and open loop), :mod:`bench.record` (latencies),
:mod:`bench.workloads` (what is asked), :mod:`bench.rig` (the processes), :mod:`bench.run` (two
targets in turns, and the command line).
"""
