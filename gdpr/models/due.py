"""Until when people must be answered who ask for their data, or to be erased (GDPR, Art. 12(3))."""

from datetime import datetime, timedelta
from typing import Self, TypeVar

from django.db import models

SOON = timedelta(days=7)
"""Before it is due, when a request is pointed out to those who look after them."""


Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


class OwedQuerySet(models.QuerySet[Row_co]):
    """Requests with a `due_at`, some of which still owe an answer."""

    def unanswered(self) -> Self:
        raise NotImplementedError

    def answered(self) -> Self:
        raise NotImplementedError

    def overdue(self, *, now: datetime) -> Self:
        return self.unanswered().filter(due_at__lt=now)

    def due_soon(self, *, now: datetime) -> Self:
        return self.unanswered().filter(due_at__gte=now, due_at__lt=now + SOON)

    def due_later(self, *, now: datetime) -> Self:
        return self.unanswered().filter(due_at__gte=now + SOON)
