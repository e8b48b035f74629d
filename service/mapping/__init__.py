"""The parts of a mapping from any record to readings: parsed from settings, applied to a record."""
