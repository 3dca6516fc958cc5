from django.db import models
from django.db.models.functions import Now


class Pause(models.Model):
    """A queue, or a type of job, that is not claimed from until somebody resumes it. What runs already goes on."""

    class Kind(models.TextChoices):
        QUEUE = "queue", "queue"
        TYPE = "type", "type"

    kind = models.CharField(max_length=5, choices=Kind.choices)
    name = models.CharField(max_length=100)
    reason = models.CharField(max_length=200, blank=True)
    paused_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="paused_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
