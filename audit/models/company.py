from datetime import datetime

from django.db import OperationalError, connection, models, transaction

from audit import chain
from audit.ids import uuid7

SYSTEM_WORKSPACE = "system"
"""Where HyreLog records what it did itself for a company."""
PATIENCE = "5s"
"""How long whoever appends waits for a chain's head, as Postgres writes it."""
LOCK_NOT_AVAILABLE = "55P03"


class SystemWorkspaceReserved(Exception):
    """The workspace `system` holds what HyreLog itself did, so nobody else records there; choose another workspace."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class ChainBusy(Exception):
    """The chain of this workspace is busy: others have appended to it all the while. Try again in a second."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class CompanyQuerySet(models.QuerySet["Company"]):
    @transaction.atomic
    def open(self, *, name: str, contact_email: str = "") -> "Company":
        """Create a company together with its `system` workspace."""
        company = self.create(name=name, contact_email=contact_email)
        company.add_workspace(name=SYSTEM_WORKSPACE)
        return company


class Company(models.Model):
    """A tenant. It is closed, never deleted: its chains must stay provable."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    contact_email = models.EmailField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True, help_text="From then on its API keys are refused.")

    objects = CompanyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name

    @transaction.atomic
    def add_workspace(self, *, name: str) -> "Workspace":
        """Create a workspace with an empty chain; raises IntegrityError if the company has one of that name."""
        workspace = Workspace.objects.create(company=self, name=name)
        workspace.start_chain()
        return workspace

    @property
    def system_workspace(self) -> "Workspace":
        return self.workspaces.get(name=SYSTEM_WORKSPACE)

    def close(self, *, now: datetime) -> bool:
        """Refuse the company's keys from `now` on; says whether it was open."""
        return bool(Company.objects.filter(pk=self.pk, closed_at=None).update(closed_at=now))


class Workspace(models.Model):
    """A part of a company, with a hash chain of its own."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="workspaces")
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["company", "name"], name="workspace_name_once_per_company")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_system(self) -> bool:
        return self.name == SYSTEM_WORKSPACE

    def start_chain(self) -> None:
        ChainHead.objects.create(workspace=self)


class ChainHead(models.Model):
    """Where a workspace's chain ends. Whoever appends holds this row's lock, so that a chain never forks."""

    workspace = models.OneToOneField(Workspace, on_delete=models.PROTECT, primary_key=True, related_name="chain_head")
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default=chain.GENESIS)

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash[:12]}"

    def lock(self) -> None:
        """Keep others from appending until the caller's transaction ends, and read where the chain ends.

        Raises ChainBusy after 5 seconds: whoever waits here keeps a connection from all others.
        """
        before = _set_lock_timeout(PATIENCE)
        try:
            self.refresh_from_db(from_queryset=ChainHead.objects.select_for_update())
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                raise ChainBusy from error
            raise
        _set_lock_timeout(before)  # the transaction's other locks are the caller's business


def _set_lock_timeout(wanted: str) -> str:
    """Set it until the transaction ends, and say what it was."""
    with connection.cursor() as cursor:
        # The inner query is evaluated first, on its own.
        cursor.execute(
            "WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS value)"
            " SELECT value, set_config('lock_timeout', %s, true) FROM before",
            [wanted],
        )
        return str(cursor.fetchone()[0])
