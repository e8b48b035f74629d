"""A real Apache Kafka on this machine, without Docker: `python -m deploy.kafka`, or `KafkaServer` from tests."""

from deploy.kafka.server import HURRIED, KafkaServer, KafkaServerError

__all__ = ["HURRIED", "KafkaServer", "KafkaServerError"]
