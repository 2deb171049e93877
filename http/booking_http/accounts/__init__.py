"""The edge of accounts and payments."""
