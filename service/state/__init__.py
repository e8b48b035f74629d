"""What is remembered of every stream, and where."""
