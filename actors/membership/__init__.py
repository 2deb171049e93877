"""Cluster membership: which instances are alive, and how healthy they say they are."""
