"""Putting one webhook request on the wire and saying what became of it.

The way through: `Request` → `Transport.submit` → (address rules, resolver, connection) → `Answer` → `Outcome` →
`Transport.poll`. Two transports follow the same rules and pass the same tests: `curl` and `requests`. The room knows
neither Django nor the database; what it needs is passed to constructors.
"""
