"""Durable subscriptions: functions that follow the journal, and where each keeps how far it is."""
