"""Brokers behind one batch-wise port: real Kafka, and an in-process one with the same behaviour."""
