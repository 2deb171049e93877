"""The database's tables as numbered migrations, and the runner that applies them."""
