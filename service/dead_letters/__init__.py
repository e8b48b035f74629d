"""Dead letters: the codes of their errors with advice, and the headers that carry the reason."""
