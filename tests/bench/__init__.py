"""Benchmarks: ratios and sizes, measured in one run. `make bench` prints them; no test asserts a time."""
