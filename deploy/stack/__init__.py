"""Kafka, a trained model, two services, sensors and the monitor on this machine: `make stack`."""
