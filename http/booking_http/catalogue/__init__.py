"""The edge of concerts and dates."""
