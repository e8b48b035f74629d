"""Deployment: the Dockerfile, and an Apache Kafka for tests and trials."""
