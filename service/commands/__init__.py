"""The service's commands, one per file; `eddycast.service.__main__` assembles them."""
