"""What the project does beside what a user would do instead, and beside the limit: run by `tools/bench.py`."""
