"""Repeating erasures after a backup was restored, from their ledgers and from the records of the database itself.

A restore brings erased people back: in all tables, or in those that were restored. By then nobody knows any more who
they were. So it goes by ids and numbers: each event that does not stand as the latest record of it says is erased
once more, with a new record in the chain, and so is what follows it. What stands as it must is left alone, so that a
second replay finds nothing to do, and one that was broken off goes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from audit import erasing
from audit.erasing import Replacement, is_record
from audit.models import AuditEvent, Company
from audit.personal_data import Erasable, erasable
from gdpr.erasures import archives, completing_again
from gdpr.erasures.batching import BATCH, Clock
from gdpr.erasures.known import Gathered, Known
from gdpr.erasures.repeated import THEIR_JOBS, Repeated, Status
from gdpr.erasures.repeating import Plan, plan
from gdpr.erasures.repeating_rows import Repeats, keys_of, repeat_followers, repeat_rows, repeats
from gdpr.models import Erasure
from gdpr.models.erasure import new_pseudonym


@dataclass(frozen=True, slots=True)
class Replay:
    """How erasures are to be repeated.

    With `dry_run` nothing is changed, and what follows events and rows is not counted. `every_table` has rows other
    than events repeated although the database knows that their erasure was completed.
    """

    gathered: Gathered
    clock: Clock
    dry_run: bool = False
    every_table: bool = False

    def run(self) -> Iterator[Repeated]:
        """Repeat all that is known, company by company, each erasure in the order in which it was made.

        Transactions are its own, and short. Archives that cannot be deleted keep nothing else from being repeated.
        """
        for company_id in self.gathered.companies():
            company = Company.objects.filter(pk=company_id).first()
            if company is None:
                yield from self._of_nobody(self.gathered.erasures_of(company_id))
            else:
                yield from _OfCompany(self, company).run()

    def _of_nobody(self, erasures: Sequence[Known]) -> Iterator[Repeated]:
        """The company itself is not in this database."""
        for known in erasures:
            absent = sum(len(events) for events in self.gathered.events_of(known, most=BATCH))
            yield Repeated(known, None, absent=absent)


@dataclass(slots=True)
class _OfCompany:
    replay: Replay
    company: Company
    found: dict[str, Repeated] = field(default_factory=dict)
    pseudonyms: dict[str, str] = field(default_factory=dict)
    """One for each erasure: a new one where nobody knows which it had."""

    def run(self) -> list[Repeated]:
        erasures = self.replay.gathered.erasures_of(self.company.pk)
        statuses = dict(Erasure.objects.of(self.company).values_list("pk", "status"))
        for known in erasures:
            self.found[str(known.erasure_id)] = Repeated(known, statuses.get(known.erasure_id))
            self.pseudonyms[str(known.erasure_id)] = known.pseudonym or new_pseudonym()
        for known in erasures:
            for events in self.replay.gathered.events_of(known, most=BATCH):
                self._repeat_events(known, events)
        for known in erasures:
            if self._is_thorough(known):
                self._repeat_rows(known)
        for known in erasures:
            self._complete(self.found[str(known.erasure_id)])
        return list(self.found.values())

    def _is_thorough(self, known: Known) -> bool:
        """Whether rows other than events may have come back."""
        return self.replay.every_table or self.found[str(known.erasure_id)].status != Status.COMPLETED

    # --- Events ---------------------------------------------------------------------------------------------------

    def _repeat_events(self, known: Known, event_ids: Sequence[str]) -> None:
        """Repeat all erasures of these events; `known` is the first that lists them."""
        mine = self.found[str(known.erasure_id)]
        plans = self._plans(event_ids, lock=False)
        mine.absent += len(event_ids) - len(plans)
        mine.as_they_must += sum(1 for _, each in plans.values() if not each.steps)
        back = [event_id for event_id, (_, each) in plans.items() if each.steps]
        if self.replay.dry_run:
            self._count(plans)
            return
        table, batches = _table_of(AuditEvent), self._batches(known)
        followed = list(plans) if self.replay.every_table else back
        again = repeat_followers(batches, table, followed)
        mine.rows += again.changed
        if again.busy:  # the next replay must find the events as they are
            mine.busy += len(back)
        elif back:
            self._count(batches.until_free(lambda: self._erase(back)))

    @transaction.atomic
    def _erase(self, event_ids: Sequence[str]) -> Mapping[str, tuple[AuditEvent, Plan]]:
        """All steps of an event in one transaction: what is between two of them would look as if both were done."""
        plans, now = self._plans(event_ids, lock=True), self.replay.clock()
        for number in range(max((len(each.steps) for _, each in plans.values()), default=0)):
            by_erasure: dict[str, list[Replacement]] = {}
            for event, each in plans.values():
                if number < len(each.steps):
                    step = each.steps[number]
                    replacement = Replacement(event, step.values, step.replaced)
                    by_erasure.setdefault(step.erasure_id, []).append(replacement)
            for erasure_id, replacements in by_erasure.items():
                known = self.found[erasure_id].known
                for some in erasing.in_records(replacements):
                    erasing.erase(company=self.company, erasure_id=known.erasure_id, replacements=some, now=now)
        return plans

    def _plans(self, event_ids: Sequence[str], *, lock: bool) -> dict[str, tuple[AuditEvent, Plan]]:
        """What each of these events needs, by id and in the order of the ids, as far as the company has them."""
        events = AuditEvent.objects.filter(company=self.company, pk__in=event_ids).order_by("pk")
        if lock:
            events = events.select_for_update(no_key=True)
        gathered = self.replay.gathered
        return {
            str(event.pk): (
                event,
                plan(
                    event,
                    gathered.listings_of(str(event.pk)),
                    recorded=gathered.recorded_of(str(event.pk)),
                    fresh=self.pseudonyms,
                ),
            )
            for event in events
            if not is_record(event)
        }

    def _count(self, plans: Mapping[str, tuple[AuditEvent, Plan]]) -> None:
        for _, each in plans.values():
            for step in each.steps:
                self.found[step.erasure_id].events += 1
            if each.steps and each.whole:
                self.found[each.steps[0].erasure_id].whole += 1

    # --- Other rows -----------------------------------------------------------------------------------------------

    def _repeat_rows(self, known: Known) -> None:
        mine = self.found[str(known.erasure_id)]
        tables = {table.table: table for table in erasable()}
        for name, listed in self.replay.gathered.rows_of(known, most=BATCH):
            table = tables.get(name)
            keys = keys_of(table, self.company, listed) if table else []
            mine.rows_absent += len(listed) - len(keys)
            if table and self.replay.dry_run:
                mine.rows += self._batches(known, listed).count(table, keys)
            elif table:
                again = repeat_rows(self._batches(known, listed), table, keys)
                mine.rows, mine.busy = mine.rows + again.changed, mine.busy + again.busy

    def _batches(self, known: Known, listed: Mapping[str, Any] | None = None) -> Repeats:
        erasure = Erasure(pk=known.erasure_id, company=self.company, pseudonym=self.pseudonyms[str(known.erasure_id)])
        return repeats(self.company, erasure, listed=listed or {}, clock=self.replay.clock)

    # --- The erasure ----------------------------------------------------------------------------------------------

    def _complete(self, mine: Repeated) -> None:
        """Purge archives, and have the database know that the erasure was completed."""
        to_complete = mine.known.header is not None and mine.status not in (*THEIR_JOBS, Status.COMPLETED)
        if mine.busy or not (mine.changed or to_complete or archives.unfinished(self.company)):
            return
        if self.replay.dry_run:
            mine.completed = to_complete
            told = any(one.archives for one in self.found.values())
            mine.archives = 0 if told else archives.on_record(self.company).count()
            return
        erasure = completing_again.erasure_of(mine.known, self.company)
        batches = self._batches(mine.known)
        try:
            mine.archives = batches.until_free(lambda: archives.purge(erasure, now=self.replay.clock(), restored=True))
        except OSError as error:
            mine.archives_left = str(error)
        if to_complete:
            rows = self.replay.gathered.rows_of(mine.known, most=1_000)
            now: datetime = self.replay.clock()
            mine.completed = batches.until_free(lambda: completing_again.complete(erasure, mine.known, rows, now=now))


def _table_of(model: type[Any]) -> Erasable:
    return next(table for table in erasable() if table.model is model)
