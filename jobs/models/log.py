from django.db import models
from django.db.models.functions import Now

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import Company


class Level(models.TextChoices):
    DEBUG = "debug", "debug"
    INFO = "info", "info"
    WARNING = "warning", "warning"
    ERROR = "error", "error"


class JobLog(models.Model):
    """A line that a handler wrote about its job, for whoever looks at the job."""

    Level = Level

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="log", db_index=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    attempt = models.PositiveIntegerField()
    level = models.CharField(max_length=7, choices=Level.choices, default=Level.INFO)
    text = models.TextField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            # The log of a job, in order.
            models.Index(fields=["job", "id"], name="job_log_job"),
            # The export of a company.
            models.Index(fields=["company", "id"], name="job_log_company"),
        ]

    def __str__(self) -> str:
        return self.text

    def as_json(self) -> dict[str, object]:
        """The line as the API shows it."""
        return {"at": timestamp(self.at), "attempt": self.attempt, "level": self.level, "text": self.text}
