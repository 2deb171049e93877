"""The pure rules of the waiting queue. Imports nothing but the standard library and msgspec."""
