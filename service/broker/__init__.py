"""Brokers behind one port that reads and writes columns:
Kafka, and an in-process broker with the same behaviour."""
