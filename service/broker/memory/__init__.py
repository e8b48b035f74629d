"""An in-process broker with Kafka's behaviour."""
