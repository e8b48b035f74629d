"""What is durable when, and what follows when something fails."""
