"""`manage.py create_api_key`: a key, shown once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.management.workspaces import chosen_company, chosen_workspace
from audit.models import ApiKey
from audit.models.company import SystemWorkspaceReserved


class Command(BaseCommand):
    help = "Create an API key for a company or for one workspace; it is printed once and not kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--company", help="Id: a key for the whole company.")
        parser.add_argument("--workspace", help="Id: a key for one workspace.")
        parser.add_argument("--name", default="default", help="What the key is called in lists.")

    def handle(self, *_: Any, **options: Any) -> None:
        if bool(options["company"]) == bool(options["workspace"]):
            raise CommandError("Name either --company ID or --workspace ID.")
        workspace = chosen_workspace(options["workspace"]) if options["workspace"] else None
        company = workspace.company if workspace else chosen_company(options["company"])
        try:
            __, plaintext = ApiKey.objects.issue(company=company, workspace=workspace, name=options["name"])
        except SystemWorkspaceReserved as error:
            raise CommandError(str(error)) from None
        self.stdout.write(plaintext)
