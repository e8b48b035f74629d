"""The service's commands, one per file; `service.__main__` assembles them."""
