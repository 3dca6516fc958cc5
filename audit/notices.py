"""How code tells facts: `notice("delivery.settled", delivery=…)`.

What becomes of a fact (a log line, a counter) is the business of whoever subscribes; the composition root does.
"""

from collections.abc import Callable, Mapping
from typing import Any

Subscriber = Callable[[str, Mapping[str, Any]], None]

_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> None:
    """Have `subscriber(name, facts)` called for each notice; it must not raise."""
    _subscribers.append(subscriber)


def notice(name: str, /, **facts: Any) -> None:
    """Tell a fact by its name, such as `job.claimed`, and what belongs to it: ids, counts, never secrets."""
    for subscriber in _subscribers:
        subscriber(name, facts)
