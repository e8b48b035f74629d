"""Record formats: bytes to columns and back."""
