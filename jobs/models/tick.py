from datetime import timedelta

from django.db import connection, models
from django.db.models import Max
from django.db.models.functions import Now

NO_TICK_FOR = 90
"""Seconds of silence after which beat is taken to be down."""


class TickManager(models.Manager["Tick"]):
    def claim(self, *, name: str, period: int) -> bool:
        """Take the current time slot of `period` seconds, by the database's clock; says whether nobody had it yet.

        Two beats, or a message that comes twice, thus do one tick's work once.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO jobs_tick AS tick (name, slot, claimed_at)
                VALUES (%(name)s, floor(extract(epoch FROM now()) / %(period)s)::bigint, now())
                ON CONFLICT (name) DO UPDATE SET slot = excluded.slot, claimed_at = excluded.claimed_at
                WHERE tick.slot < excluded.slot
                """,
                {"name": name, "period": period},
            )
            return bool(cursor.rowcount)

    def age(self) -> timedelta | None:
        """How long ago the latest tick was claimed, by the database's clock; None if there never was one."""
        latest: timedelta | None = self.aggregate(age=Now() - Max("claimed_at"))["age"]
        return latest

    def silent(self) -> bool:
        """Whether no tick at all was claimed for 90 s: beat is down."""
        age = self.age()
        return age is None or age >= timedelta(seconds=NO_TICK_FOR)


class Tick(models.Model):
    """The latest time slot of a periodic task that was claimed."""

    name = models.CharField(primary_key=True, max_length=100)
    slot = models.BigIntegerField()
    claimed_at = models.DateTimeField()

    objects = TickManager()

    def __str__(self) -> str:
        return f"{self.name} {self.slot}"
