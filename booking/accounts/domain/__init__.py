"""The pure rules of accounts. Imports nothing but the standard library and msgspec."""
