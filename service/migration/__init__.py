"""`eddycast state`: rows exported, imported, edited."""
