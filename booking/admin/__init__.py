"""What the operators' side needs of the application besides the cluster and the queues: changing
the catalogue, and auditing the journal while the service runs."""
