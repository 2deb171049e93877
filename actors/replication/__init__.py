"""Views on every instance: owners stream committed changes, every instance keeps replicas."""
