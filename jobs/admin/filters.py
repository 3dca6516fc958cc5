"""The filters of the list of jobs: none reads the table to find out what there is to choose."""

import uuid
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.ids import first_at
from audit.models import Company
from jobs import registry
from jobs.apps import QUEUES
from jobs.models import Job

COMPANIES = 50
"""That are offered; the jobs of any other are found by its id."""
OWN = "none"
"""Stands for jobs that run for no company."""
SPANS = {
    "1h": ("the last hour", timedelta(hours=1)),
    "1d": ("the last 24 hours", timedelta(days=1)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "30d": ("the last 30 days", timedelta(days=30)),
}


class _Named(admin.SimpleListFilter):
    """By the name of what handlers declare; also by one that none declares any more, if the address names it."""

    def declared(self) -> set[str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        chosen = request.GET.get(str(self.parameter_name))
        return [(name, name) for name in sorted(self.declared() | ({chosen} if chosen else set()))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:  # noqa: ARG002
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class TypeFilter(_Named):
    title = parameter_name = "type"

    def declared(self) -> set[str]:
        return {handler.type for handler in registry.handlers()}


class QueueFilter(_Named):
    title = parameter_name = "queue"

    def declared(self) -> set[str]:
        return set(QUEUES)


class CompanyFilter(admin.SimpleListFilter):
    title = parameter_name = "company"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        shown = {str(company.pk): company.name for company in Company.objects.order_by("name", "pk")[:COMPANIES]}
        chosen = request.GET.get("company")
        if chosen and chosen != OWN:
            shown.setdefault(chosen, chosen)
        return [(OWN, "none: HyreLog's own"), *shown.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:  # noqa: ARG002
        if self.value() == OWN:
            return queryset.filter(company=None)
        if not self.value():
            return queryset
        try:
            return queryset.filter(company=uuid.UUID(self.value()))
        except ValueError as error:
            raise IncorrectLookupParameters(error) from None


class CreatedFilter(admin.SimpleListFilter):
    """An id tells when it was made, so that this reads the end of the primary key."""

    title = parameter_name = "created"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(value, words) for value, (words, _) in SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:  # noqa: ARG002
        if self.value() not in SPANS:
            return queryset
        _, span = SPANS[str(self.value())]
        return queryset.filter(pk__gte=first_at(timezone.now() - span))
