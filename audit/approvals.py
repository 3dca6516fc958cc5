"""Which erasures were asked for and approved: a higher room knows, and verification asks.

A record of an erasure is an event like others, so whoever may record events can make one up. What nobody approved
covers nothing.
"""

from collections.abc import Callable, Collection

from audit.models import Company

Approved = Callable[[Company, Collection[str]], Collection[str]]
"""`approved(company, erasure_ids)`: those of them that are erasures of this company, and were approved."""

_approved: list[Approved] = []


def on_asked_for_approved(approved: Approved) -> Approved:
    """Have `approved(company, erasure_ids)` say which erasures were approved; without any, none was."""
    _approved.append(approved)
    return approved


def approved_of(company: Company, erasure_ids: Collection[str]) -> set[str]:
    """Those of the ids that are of approved erasures of the company."""
    return {one for approved in _approved for one in approved(company, erasure_ids)} if erasure_ids else set()
