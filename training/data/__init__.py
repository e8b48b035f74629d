"""History as a panel: its grid, its cut, its seasons, and counters as increases."""
