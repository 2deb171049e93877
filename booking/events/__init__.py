"""What the service tells the outside: public events, a contract of its own beside the journal."""
