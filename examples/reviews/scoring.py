"""Scores of reviews, from 0 to 100, and what a period comes to. Pure: the same reviews always score the same."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from reviews.models import Review

PRAISE = {"excellent", "friendly", "great", "love", "perfect", "quick"}
BLAME = {"awful", "broken", "late", "rude", "slow", "terrible"}
WORD_WEIGHT = 5
"""Points for each word of praise or blame."""


def by_rating(review: Review) -> int:
    """1 to 5 stars as 0 to 100."""
    return (review.rating - 1) * 25


def by_rating_and_words(review: Review) -> int:
    """The stars, moved by what the text says."""
    words = set(re.findall(r"\w+", review.text.lower()))
    moved = by_rating(review) + WORD_WEIGHT * (len(words & PRAISE) - len(words & BLAME))
    return max(0, min(moved, 100))


Version = Literal[1, 2]
VERSIONS: dict[Version, Callable[[Review], int]] = {1: by_rating, 2: by_rating_and_words}
"""A version never changes, so that its scores can be compared; what is better gets the next number."""


def sentiment(score: int) -> str:
    if score < 40:
        return "negative"
    return "neutral" if score <= 60 else "positive"


@dataclass(slots=True)
class Tally:
    """What the reviews of a period come to."""

    version: Version
    count: int = 0
    points: int = 0
    by_rating: Counter[int] = field(default_factory=Counter)
    by_sentiment: Counter[str] = field(default_factory=Counter)

    def add(self, reviews: Iterable[Review]) -> None:
        for review in reviews:
            score = VERSIONS[self.version](review)
            self.count += 1
            self.points += score
            self.by_rating[review.rating] += 1
            self.by_sentiment[sentiment(score)] += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "count": self.count,
            "meanScore": round(self.points / self.count, 2) if self.count else None,
            "byRating": {str(stars): self.by_rating[stars] for stars in range(1, 6)},
            "bySentiment": {name: self.by_sentiment[name] for name in ("negative", "neutral", "positive")},
        }
