"""Run Apache Kafka locally without Docker: `python -m deploy.kafka`, or `KafkaServer` in tests."""

from deploy.kafka.server import HURRIED, KafkaServer, KafkaServerError

__all__ = ["HURRIED", "KafkaServer", "KafkaServerError"]
