"""The job behind an export: stream the company's rows into an archive, verify it, publish it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit.chain import timestamp
from audit.models import ChainHead, Company
from audit.personal_data import Covered, covered, excluded
from gdpr import archiving, reading, storage
from gdpr.models import ExportArchive
from gdpr.models.archive import KEPT_FOR
from gdpr.requesting import EXPORT
from gdpr.telling import told_failed, told_ready
from jobs.backoff import exponential
from jobs.context import JobContext, Stopped
from jobs.registry import FOREVER, handler


@handler(
    EXPORT,
    queue="exports",
    max_attempts=5,
    backoff=exponential(base=10, cap=300),
    timeout=86_400,
    concurrency=2,  # each keeps a process of a worker, and reads whole tables: small jobs need some too
    cancellable=True,  # a retry would pass by GDPR_EXPORTS_PER_DAY: tenants request another one
    keep_completed=FOREVER,  # the record of an export stays, also of one that failed
    keep_failed=FOREVER,
    died=told_failed,
)
def export(context: JobContext) -> dict[str, Any]:
    """Make an archive; each attempt begins anew, and finds its work done where only the settling was lost."""
    done = ExportArchive.objects.filter(job=context.job).first()
    return _result(done or _make(context))


def _make(context: JobContext) -> ExportArchive:
    company, request, now = context.company, context.job.export_request, timezone.now()
    # The attempt is in the name: a stale worker that still writes disturbs nobody.
    name = f"{context.job.id}-{context.attempt}.zip"
    for died in range(1, context.attempt):
        storage.clear(f"{context.job.id}-{died}.zip")
    with storage.draft(name) as file, closing(archiving.Archive(file, written_at=now)) as archive:
        heads = reading.chain_heads(company.id)
        tables = covered()
        expected = sum(reading.estimate(table, company_id=company.id) for table in tables) or 1
        seen = 0
        for table in tables:
            parts = reading.read(table, company_id=company.id, heads=heads)
            seen += archive.add(table.table, _watched(parts, context, table, seen=seen, expected=expected))
        counts = archive.seal(
            scope=request.scope,
            companyId=str(company.id),
            companyName=company.name,
            jobId=str(context.job.id),
            requestedAt=timestamp(request.created_at),
            requestedBy=request.requested_by,
            readAt=timestamp(now),
            chains=_chains(company, heads),
            redactions={table.table: dict(table.redact) for table in tables if table.redact},
            excluded={table.table: table.reason for table in excluded()},
        )
        archiving.verify(file)
        sha256, size = archiving.sha256_of(file)
        # The file comes first: a record without a file would promise what is not there.
        storage.publish(name, file)
    try:
        with transaction.atomic():
            context.hold_claim()
            made = ExportArchive.objects.create(
                company=company,
                job=context.job,
                scope=request.scope,
                file=name,
                size=size,
                sha256=sha256,
                counts=counts,
                created_at=timezone.now(),
                expires_at=timezone.now() + KEPT_FOR,
            )
            told_ready(made, now=made.created_at)
            return made
    except Stopped:
        storage.delete(name)  # somebody else makes this export now
        raise
    # Whatever else is raised may come after the commit (a connection that broke just then): the file stays. If there is
    # no record of it, the next attempt clears it away, or housekeeping does.


def _watched(
    parts: Iterator[list[str]], context: JobContext, table: Covered, *, seen: int, expected: int
) -> Iterator[list[str]]:
    for part in parts:
        seen += len(part)
        context.progress(min(seen / expected, 0.99), step=table.table)
        yield part


def _chains(company: Company, heads: dict[Any, int]) -> list[dict[str, Any]]:
    """Where each exported chain ends; its hash is read from the last exported event, not from a head that moved on."""
    named = ChainHead.objects.filter(workspace_id__in=heads).select_related("workspace")
    chains = []
    for head in named.order_by("workspace_id"):
        seq = heads[head.workspace_id]
        last = company.events.filter(workspace_id=head.workspace_id, seq=seq).first()
        chains.append(
            {"workspaceId": str(head.workspace_id), "name": head.workspace.name, "seq": seq, "hash": last and last.hash}
        )
    return chains


def _result(archive: ExportArchive) -> dict[str, Any]:
    return {"bytes": archive.size, "sha256": archive.sha256, "counts": archive.counts}
