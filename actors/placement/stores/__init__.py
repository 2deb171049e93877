"""The stored placement and the operators' plans: contracts and implementations."""
