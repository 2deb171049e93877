"""The domain's entities as actors: each module wraps pure functions into a behaviour."""
