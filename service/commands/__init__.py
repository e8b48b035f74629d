"""The service's commands, one a file; `service.__main__` puts them together."""
