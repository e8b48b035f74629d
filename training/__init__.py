"""Eddycast's trainer: from history to a bundle that the service serves."""
