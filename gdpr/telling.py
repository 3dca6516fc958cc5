"""Telling of exports: whoever asked for one, and the company's `system` workspace."""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gdpr.models import ExportArchive
    from jobs.models import Job


def told_ready(archive: "ExportArchive", *, now: datetime) -> None:
    """Tell of an archive, in the transaction that records it."""


def told_failed(job: "Job", now: datetime) -> None:
    """Tell of a job that failed for good, in the transaction in which it did."""
