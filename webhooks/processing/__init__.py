"""data.process: counting the rows of a large input, by fields.

The way through: source → pieces (`inflow`, `decoding`) → `lines` → rows (`ndjson`, `table`) → `conditions` → `groups`.
Each part asks the one before it for more, and keeps no more than a line: memory is bounded, however large the input.
"""
