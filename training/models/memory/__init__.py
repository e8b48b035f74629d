"""What is remembered of a stream without learning."""
