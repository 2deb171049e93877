"""Encoded lists of dates and seats, kept until what they show has changed."""
