"""Webhooks: public events posted to the addresses of those who have no broker."""
