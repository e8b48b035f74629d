"""How Eddycast and what it needs are run."""
