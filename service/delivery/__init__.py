"""Durability: when outputs, rows and offsets become durable, and recovery from failures."""
