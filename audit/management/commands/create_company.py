"""`manage.py create_company NAME`: a tenant, with a first workspace."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from audit.models import Company, Workspace


class Command(BaseCommand):
    help = "Create a company with a workspace beside `system`; prints both ids."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--email", default="", help="Where notices about the company go.")
        parser.add_argument("--workspace", default="production", help="The first workspace's name.")

    @transaction.atomic
    def handle(self, *_: Any, **options: Any) -> None:
        try:
            Company(name=options["name"].strip(), contact_email=options["email"]).full_clean()
            Workspace(name=options["workspace"].strip()).full_clean(exclude=["company"])
        except ValidationError as error:
            raise CommandError(
                "; ".join(f"{field}: {' '.join(rules)}" for field, rules in error.message_dict.items())
            ) from None
        company = Company.objects.open(name=options["name"], contact_email=options["email"])
        workspace = company.add_workspace(name=options["workspace"])
        self.stdout.write(f"company {company.id}\nworkspace {workspace.id}")
