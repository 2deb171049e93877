"""The catalogue at rest: its document (JSON), its tables, and the demo season."""
