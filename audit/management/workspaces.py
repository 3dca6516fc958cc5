"""Which workspace a command means."""

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from audit.models import Company, Workspace
from audit.models.company import SYSTEM_WORKSPACE


def chosen_workspace(workspace_id: str | None) -> Workspace:
    """The workspace of an id or, without one, the only one that is not called `system`. Raises CommandError."""
    if workspace_id is None:
        found = list(Workspace.objects.exclude(name=SYSTEM_WORKSPACE)[:2])
        if len(found) != 1:
            few = "no workspace" if not found else "more than one workspace"
            raise CommandError(f"There is {few} beside `system`; choose one with --workspace ID.")
        return found[0]
    try:
        return Workspace.objects.get(pk=workspace_id)
    except (Workspace.DoesNotExist, ValidationError):
        raise CommandError(f"There is no workspace {workspace_id!r}; take an id from the admin.") from None


def chosen_company(company_id: str) -> Company:
    """The company of an id. Raises CommandError."""
    try:
        return Company.objects.get(pk=company_id)
    except (Company.DoesNotExist, ValidationError):
        raise CommandError(f"There is no company {company_id!r}; take an id from the admin.") from None
