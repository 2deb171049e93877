"""What many read and nobody asks an owner for: copies in memory, kept by what the journal took."""
