"""Dead letters read back, and put back on the input topic."""
