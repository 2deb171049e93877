"""The pure rules of seats. Imports nothing but the standard library and msgspec."""
