"""A real Apache Kafka on this machine, without Docker: `python -m deploy.kafka`, or `KafkaServer` from tests."""

from deploy.kafka.server import KafkaServer, KafkaServerError

__all__ = ["KafkaServer", "KafkaServerError"]
