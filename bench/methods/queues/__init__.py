"""Four waiting queues under one load, and what a killed promoter does to each."""
