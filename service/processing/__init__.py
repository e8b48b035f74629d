"""Process one chunk of records, from decode to encode. No broker, no clock."""
