from django.db import models


class Throttle(models.Model):
    """What a claim locks so that the limits of a type hold over all processes: one row for each type.

    `company` is `jobs.models.job.NOBODY` in it; rows of companies keep those types' rates for each of them.
    """

    type = models.CharField(max_length=100)
    company = models.UUIDField()
    claims = models.BigIntegerField(default=0)
    """Counts the claims: who counted running jobs before another claimed finds it changed."""
    open_at = models.DateTimeField()
    """When the rate lets the next one start."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["type", "company"], name="throttle_once")]

    def __str__(self) -> str:
        return f"{self.type} {self.company}"
