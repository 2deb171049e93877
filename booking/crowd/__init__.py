"""Simulated fans on this machine, so that a visitor alone sees the queue and the seats move."""
