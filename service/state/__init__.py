"""State rows: in memory, and as records of the changelog."""
