"""The demo: train, publish, stream and score, on real sensor data."""
