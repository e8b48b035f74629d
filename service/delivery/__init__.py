"""The intake of records, and durability: when outputs, rows and offsets become durable, and
recovery from failures."""
