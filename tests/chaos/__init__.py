"""The proof of exactly once: real workers on a real Kafka, killed in every way,
against one undisturbed run."""
