"""A batch of an erasure: rows of one table, changed in one transaction together with all that is noted of it.

Rows are locked first, in the order of their keys and a leader's before its followers', and the head of the company's
`system` chain last: whoever holds a delivery or a job may wait for that head.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from django.db import OperationalError, models, transaction

from audit import erasing
from audit.erasing import Replacement
from audit.models import AuditEvent, Company
from audit.models.company import ChainBusy
from audit.personal_data import Erasable
from gdpr.erasures import holds
from gdpr.erasures.changing import Change, Whom, change_of
from gdpr.erasures.looking import fields_of, rows_of, values_of
from gdpr.models import ErasedRow, Erasure, LegalHold

BATCH = erasing.MOST_EVENTS
"""Rows of one transaction, at the most."""
PAUSE = 1.0
"""Seconds between two tries where others keep the chain or the rows busy."""
DEADLOCK_DETECTED = "40P01"

Clock = Callable[[], datetime]
T = TypeVar("T")


class Running(Protocol):
    """What batches need to know of whoever has them done: a job (jobs.context.JobContext), or an operator."""

    @property
    def company(self) -> Company: ...

    def check(self) -> None: ...

    def wait(self, seconds: float) -> None: ...

    def hold_claim(self) -> None: ...


class Held(Exception):
    """A legal hold keeps the person's data: nothing of the transaction may stay."""

    def __init__(self, hold: LegalHold) -> None:
        super().__init__(f"Legal hold {hold.pk} keeps what is to be erased.")
        self.hold = hold


@dataclass(frozen=True, slots=True)
class Done:
    """How many rows of a batch were changed, and the keys of those that could not be yet."""

    changed: int = 0
    deferred: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Batches:
    """Changes rows for one erasure; a worker that has lost its claim changes nothing."""

    context: Running
    erasure: Erasure
    whom: Whom
    clock: Clock

    def change(self, table: Erasable, keys: Sequence[Any], *, follows: bool) -> Done:
        """Erase the person from so many rows of a table; `follows` says that they follow rows about the person.

        Waits while others keep the chain busy. Raises Held, jobs.context.Stopped.
        """
        return self.until_free(lambda: self._change(table, keys, follows=follows))

    def keep_held(self, table: Erasable, keys: Sequence[Any]) -> None:
        """Look at rows before anything that follows them is changed; raises Held where one of them is kept."""
        self._keep(values_of(table, row) for row in rows_of(table, keys))

    def _keep(self, rows: Iterable[Mapping[str, Any]]) -> None:
        if hold := holds.keeping_rows(self.context.company, rows):
            raise Held(hold)

    def until_free(self, work: Callable[[], T]) -> T:
        """Do it, again and again where others keep the chain or the rows busy. Raises jobs.context.Stopped."""
        while True:
            self.context.check()
            try:
                return work()
            except ChainBusy:
                self.context.wait(PAUSE)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) != DEADLOCK_DETECTED:
                    raise
                self.context.wait(PAUSE)

    def hold_everything(self) -> Erasure:
        """Lock the head of the chain, and the erasure, in the caller's transaction, which has all its other locks.

        Raises Held for a legal hold that came meanwhile, audit.models.company.ChainBusy.
        """
        company = self.context.company
        company.system_workspace.chain_head.lock()
        if hold := holds.blocking(company, self.whom.person):
            raise Held(hold)
        return Erasure.objects.select_for_update(no_key=True).get(pk=self.erasure.pk)

    @transaction.atomic
    def _change(self, table: Erasable, keys: Sequence[Any], *, follows: bool) -> Done:
        now = self.clock()
        self.context.hold_claim()
        rows = {row.pk: row for row in rows_of(table, keys).select_for_update(no_key=True)}
        changes = {key: self.decide(table, row, follows=follows) for key, row in rows.items()}
        # What follows may be on its way, with nothing to change in it yet.
        asked = {key: change.named if change else () for key, change in changes.items() if change or follows}
        ready = table.ready(asked, now) if table.ready and asked else set(asked)
        ripe = {key: change for key, change in changes.items() if change and key in ready}
        if ripe:
            before = [values_of(table, rows[key]) for key in ripe]
            self._write(table, rows, ripe, now)
            if table.then:
                table.then({key: asked[key] for key in ripe}, now)
            self.note(table, ripe, follows=follows, before=before)
        deferred = [key for key in asked if key not in ready]
        if deferred and not ripe:
            self.hold_everything()  # `ready` may have asked for the end of something
        return Done(len(ripe), deferred)

    def _write(self, table: Erasable, rows: Mapping[Any, Any], changes: Mapping[Any, Change], now: datetime) -> None:
        model = table.model
        if model is AuditEvent:
            replacements = [Replacement(rows[key], change.values, change.replaced) for key, change in changes.items()]
            company, erasure_id = self.context.company, self.erasure.pk
            for some in erasing.in_records(replacements):
                erasing.erase(company=company, erasure_id=erasure_id, replacements=some, now=now)
        elif table.deleted:
            model._base_manager.filter(pk__in=changes).delete()  # noqa: SLF001
        else:
            fields = fields_of(table)
            for key, change in changes.items():
                values = {fields[column].attname: value for column, value in change.values.items()}
                model._base_manager.filter(pk=key).update(**values)  # noqa: SLF001

    def decide(self, table: Erasable, row: models.Model, *, follows: bool) -> Change | None:
        """What is to be changed in a row, which is locked."""
        return change_of(table, row, self.whom, follows=follows)

    def note(
        self, table: Erasable, changes: Mapping[Any, Change], *, follows: bool, before: Sequence[Mapping[str, Any]]
    ) -> None:
        """Put on record what was changed. The records of events say themselves which these were.

        Raises Held where one of the rows, as they were `before`, names a person whose data are kept.

        Of rows that follow those that were found only the values that were replaced are to be known, since whatever
        else they lose goes with what they follow.
        """
        erasure = self.hold_everything()
        self._keep(before)
        if table.model is not AuditEvent:
            ErasedRow.objects.bulk_create(
                ErasedRow(
                    company=self.context.company,
                    erasure=erasure,
                    table=table.table,
                    key=str(key),
                    replaced=change.replaced,
                )
                for key, change in changes.items()
                if change.replaced or not follows
            )
        erasure.counts[table.table] = erasure.counts.get(table.table, 0) + len(changes)
        erasure.save(update_fields=["counts"])
