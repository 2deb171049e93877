"""Health, metrics, documents and pages."""
