from django.db import models
from django.db.models.functions import Now

from audit.chain import timestamp
from jobs import doorbell, registry
from jobs.apps import QUEUES

REASON = 200
"""Characters of a reason."""


class UnknownQueue(LookupError):
    """There is no queue of this name."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"There is no queue {queue!r}; there are: {', '.join(QUEUES)}.")


class Kind(models.TextChoices):
    QUEUE = "queue", "queue"
    TYPE = "type", "type"


class PauseManager(models.Manager["Pause"]):
    def pause(self, kind: Kind, name: str, *, reason: str = "") -> bool:
        """Have nothing claimed from a queue, or of a type; says whether it was not paused before.

        The latest reason is kept. Raises UnknownQueue, jobs.registry.UnknownJobType.
        """
        _lane_of(kind, name)
        _, new = self.update_or_create(kind=kind, name=name, defaults={"reason": reason[:REASON]})
        return new

    def resume(self, kind: Kind, name: str) -> bool:
        """Let a queue or a type go on, and ring for what has waited; says whether it was paused.

        Raises as `pause` does, except for what was paused under a name that no handler declares any more.
        """
        resumed = self.filter(kind=kind, name=name).delete()[0] > 0
        try:
            doorbell.ring_on_commit(_lane_of(kind, name))
        except LookupError:
            if not resumed:
                raise
        return resumed


class Pause(models.Model):
    """A queue, or a type of job, that is not claimed from until somebody resumes it. What runs already goes on."""

    Kind = Kind

    kind = models.CharField(max_length=5, choices=Kind.choices)
    name = models.CharField(max_length=100)
    reason = models.CharField(max_length=REASON, blank=True)
    paused_at = models.DateTimeField(db_default=Now())

    objects = PauseManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="paused_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, "name": self.name, "reason": self.reason, "since": timestamp(self.paused_at)}


def _lane_of(kind: Kind, name: str) -> str:
    if kind == Kind.TYPE:
        return registry.handler_of(name).queue
    if name not in QUEUES:
        raise UnknownQueue(name)
    return name
