"""What is measured, each by one module that prints one JSON line: `python -m benchmarks.throughput`, or `make bench`.

Timings mean little on their own: each line carries a ratio of two runs that were made in turn, on the same machine,
within the same minutes.
"""
