"""Speed of the service and of alternatives to it: `python -m tests.bench`.
No test asserts on a clock."""
