"""Where each app declares its tables to exports and erasures, so that gdpr covers them without importing them.

Complete by construction: a test holds the declarations against the live schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import models


@dataclass(frozen=True, slots=True)
class Covered:
    """A table that carries a tenant: its rows are exported, but for the redacted columns."""

    model: type[models.Model]
    company_column: str
    redact: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001  Django's public way to a table's name


@dataclass(frozen=True, slots=True)
class Excluded:
    """A table that no export holds, and why."""

    model: type[models.Model]
    reason: str

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001


_covered: list[Covered] = []
_excluded: list[Excluded] = []


def cover(
    model: type[models.Model], *, company_column: str = "company_id", redact: Mapping[str, str] | None = None
) -> None:
    """Declare that exports hold `model`, whose `company_column` names the tenant; `redact` maps columns to reasons."""
    _covered.append(Covered(model, company_column, redact or {}))


def exclude(model: type[models.Model], *, reason: str) -> None:
    """Declare that no export holds `model`, and why."""
    _excluded.append(Excluded(model, reason))


def covered() -> tuple[Covered, ...]:
    return tuple(_covered)


def excluded() -> tuple[Excluded, ...]:
    return tuple(_excluded)
