"""Dead letters: the codes of their errors with advice, letters as records of a topic, and back."""
