"""Erasing a person: everything that names them in the tables of a company, and whatever follows it.

Passes over all tables, until one finds nothing: rows that came meanwhile, or were being worked on, are found by the
next. What is recorded once the second one has begun is none of it. Each batch is a transaction of its own, and rows
that were erased are not found again: whoever takes over after a crash simply goes on. In the end, whatever an attempt
that was under way may have written since is looked at once more: it answers to a row that no longer names anybody, so
that only this erasure's records lead to it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.erasing import listed_in, records_of
from audit.models import AuditEvent
from audit.personal_data import Erasable, erasable
from gdpr.erasures import archives, certificate, ledger, telling
from gdpr.erasures.batching import BATCH, PAUSE, Batches, Clock
from gdpr.erasures.changing import Whom
from gdpr.erasures.looking import followers_of, key_of, keys_following, look, selection_of
from gdpr.erasures.metering import Meter
from gdpr.erasures.surprises import Wordless
from gdpr.erasures.waiting import come_back_later
from gdpr.models import ErasedRow, Erasure, ExportArchive
from gdpr.selecting import Selection
from jobs.context import JobContext
from jobs.models import Job

FURTHEST = 2
"""The pass that looks furthest: the first one looks at what is there when it begins, this one at what came meanwhile,
too, and those after it no further. So whoever goes on recording the person does not keep an erasure from ending."""
MOST_PASSES = 10
"""Then it ends although the person is still found: somebody changes rows that were there all the while."""
PATIENCE = 30
"""Times that it waits for what others are at work on, a second each, before it gives its place to other jobs."""

Late = defaultdict[str, list[Any]]
"""By table, the keys of rows that could not be erased yet."""


class StillNamed(Wordless):
    """The person is found in rows in which nothing of theirs is found to be replaced: a mistake of HyreLog's own."""

    def __init__(self, tables: Iterable[str]) -> None:
        super().__init__(f"{self.__doc__} They are in {', '.join(sorted(tables))}.")


@dataclass(frozen=True, slots=True)
class Erased:
    """Rows by table that were erased, by table and column those that must stay, and how many archives were deleted."""

    counts: Mapping[str, int]
    remaining: Mapping[str, int]
    archives: int


def erase(context: JobContext, erasure: Erasure, *, clock: Clock) -> Erased:
    """Erase the person, in the job of an erasure that has begun; goes on where an attempt before it ended.

    None of its transactions is the caller's. Raises gdpr.erasures.batching.Held for a legal hold, OSError where the
    storage of archives fails, StillNamed, jobs.context.Snooze and Stopped.
    """
    whom = Whom(erasure.person(), erasure.pseudonym)
    return _Erasing(context, Batches(context, erasure, whom, clock)).run()


class _Erasing:
    """One attempt."""

    def __init__(self, context: JobContext, batches: Batches) -> None:
        self._context = context
        self._batches = batches
        self._company = context.company
        self._tables = {table.table: table for table in erasable()}
        self._meter = Meter(context, erasure=batches.erasure)
        self._selections: list[tuple[Erasable, Selection]] = []
        self._remaining: Counter[str] = Counter()

    def run(self) -> Erased:
        self._forget_own_tracebacks()
        for number in range(1, MOST_PASSES + 1):
            found, changed = self._pass(number)
            if not found:
                break
        else:
            if not changed:
                raise StillNamed(found)
            self._context.log(f"Rows named the person anew in each of {number} passes; they may do so again.")
        self._go_over_followers()
        return self._finish()

    @transaction.atomic
    def _forget_own_tracebacks(self) -> None:
        """Nothing else of this job, which no pass looks at, can quote the person."""
        self._context.hold_claim()
        job = self._context.job
        Job.objects.filter(pk=job.pk).update(traceback="")
        job.history.exclude(traceback="").update(traceback="")

    def _pass(self, number: int) -> tuple[set[str], bool]:
        """Look through all tables; in which the person was found, and whether anything was changed."""
        job = self._context.job.pk  # it is at work, and would wait for itself
        if number <= FURTHEST:
            every = ((table, selection_of(table, self._company, but_job=job)) for table in self._tables.values())
            self._selections = [(table, selection) for table, selection in every if selection]
        self._remaining.clear()
        found, changed, late = set(), 0, _none_late()
        for table, selection in self._selections:
            for sighting in look(table, selection, self._batches.whom.person):
                if keys := list(sighting.keys_to_erase(table)):
                    found.add(table.table)
                changed += sum(self._erase(table, some, late, follows=False) for some in _batches(keys))
                self._remaining.update(sighting.proved(table))
                self._meter.took(table.table, sighting.looked_at)
        self._come_back_for(late, follows=False)
        return found, bool(changed) or any(late.values())

    def _erase(self, table: Erasable, keys: Sequence[Any], late: Late, *, follows: bool) -> int:
        """Erase rows and what follows them; says how many of them were changed.

        Rows that were found come last: as long as they name the person, whoever goes on after a crash finds what
        follows them, too; what of that must wait is looked at in the end. Among the rows that follow, a delivery comes
        before its attempts: what is sent once it was seen at rest names nobody any more.
        """
        if not follows:
            if followers_of(table):
                self._batches.keep_held(table, keys)
            self._erase_followers(table, keys, _none_late())
        done = self._batches.change(table, keys, follows=follows)
        late[table.table] += done.deferred
        if follows:
            self._erase_followers(table, keys, late)
        return done.changed

    def _erase_followers(self, table: Erasable, leaders: Sequence[Any], late: Late) -> None:
        for follower in followers_of(table):
            for keys in keys_following(follower, leaders, most=BATCH):
                self._erase(follower, keys, late, follows=True)

    def _come_back_for(self, late: Late, *, follows: bool) -> None:
        """Erase rows as soon as nobody works on them any more."""
        for _ in range(PATIENCE):
            if not any(late.values()):
                return
            self._context.wait(PAUSE)
            waiting, late = late, _none_late()
            for name, keys in waiting.items():
                for some in _batches(keys):
                    self._erase(self._tables[name], some, late, follows=follows)
        if any(late.values()):
            places = ", ".join(sorted(name for name, keys in late.items() if keys))
            come_back_later(self._context, f"Some rows are being worked on ({places}); this waits for them.")

    def _go_over_followers(self) -> None:
        """Look once more at all that follows what was erased: an answer that was under way may have come since."""
        late = _none_late()
        for table, keys in self._recorded():
            self._erase_followers(table, keys, late)
        self._come_back_for(late, follows=True)

    def _recorded(self) -> Iterator[tuple[Erasable, list[Any]]]:
        """The rows that were found and erased, by what this erasure has on record, of tables that others follow."""
        erasure = self._batches.erasure
        for name, table in self._tables.items():
            if not followers_of(table):
                continue
            if table.model is AuditEvent:
                records = records_of(self._company).filter(payload__erasureId=str(erasure.pk))
                for pk in records.values_list("pk", flat=True):
                    yield table, [listed.event_id for listed in listed_in(AuditEvent.objects.get(pk=pk))]
            rows = ErasedRow.objects.filter(erasure=erasure, table=name).order_by("id")
            after = 0
            while some := list(rows.filter(id__gt=after).values_list("id", "key")[:BATCH]):
                yield table, [key_of(table).to_python(key) for _, key in some]
                after = some[-1][0]

    def _finish(self) -> Erased:
        batches, purged = self._batches, 0
        self._meter.ending("archives")
        while True:
            purged += batches.until_free(lambda: archives.purge(batches.erasure, now=batches.clock()))
            batches.erasure.refresh_from_db()
            ledger.write(batches.erasure)
            if erasure := batches.until_free(lambda: self._complete(batches.clock())):
                return Erased(erasure.counts, self._remaining, purged)

    @transaction.atomic
    def _complete(self, now: datetime) -> Erasure | None:
        """The erasure, completed; None if an archive was put on record while a hold came and went."""
        self._context.hold_claim()
        erasure = self._batches.hold_everything()
        if ExportArchive.objects.ready().filter(company=self._company).exists():
            return None
        signed = certificate.certify(erasure, remaining=self._remaining, now=now)
        erasure.complete(certificate=signed, now=now)
        telling.told_completed(erasure, now=now)
        return erasure


def _none_late() -> Late:
    return defaultdict(list)


def _batches(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (keys[start : start + BATCH] for start in range(0, len(keys), BATCH))
