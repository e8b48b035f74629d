"""How fast it is, beside what one would write without it: `python -m tests.bench`. No test asserts on a clock."""
