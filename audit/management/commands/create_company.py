"""`manage.py create_company NAME`: a tenant, with a first workspace."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from audit.models import Company


class Command(BaseCommand):
    help = "Create a company with a workspace beside `system`; prints both ids."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--email", default="", help="Where notices about the company go.")
        parser.add_argument("--workspace", default="production", help="The first workspace's name.")

    @transaction.atomic
    def handle(self, *_: Any, **options: Any) -> None:
        company = Company.objects.open(name=options["name"], contact_email=options["email"])
        workspace = company.add_workspace(name=options["workspace"])
        self.stdout.write(f"company {company.id}\nworkspace {workspace.id}")
