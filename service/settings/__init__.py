"""Settings: groups with their defaults, the object that holds them all, and the reading of both."""
