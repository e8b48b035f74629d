"""Decode to encode for one chunk of records: no broker, no clock."""
