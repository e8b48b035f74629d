"""History as a panel: grid, seasons, counters, split."""
