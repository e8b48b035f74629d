"""Bridges into the input topic: records of another topic, of an MQTT broker, or posted over HTTP
are mapped to readings and written in the plain shape, keyed by stream."""
