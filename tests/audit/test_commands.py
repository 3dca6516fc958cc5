from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from audit.models import ApiKey, Company
from audit.models.api_key import validate_networks
from tests.conftest import Tenant

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    said = StringIO()
    call_command(*arguments, stdout=said)
    return said.getvalue()


def test_a_company_and_its_keys_are_made_from_the_command_line() -> None:
    (_, company_id), (_, workspace_id) = (line.split() for line in run("create_company", "Initech").splitlines())
    company = Company.objects.get(pk=company_id)
    assert sorted(workspace.name for workspace in company.workspaces.all()) == ["production", "system"]
    for arguments, workspace in ((("--company", company_id), None), (("--workspace", workspace_id), workspace_id)):
        plaintext = run("create_api_key", *arguments, "--name", "CI").strip()
        key = ApiKey.objects.matching(plaintext).get()
        assert (key.company, key.workspace_id and str(key.workspace_id)) == (company, workspace)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("create_company", " "), "name: This field cannot be blank"),
        (("create_company", "x" * 201), "name: "),
        (("create_company", "Initech", "--email", "nonsense"), "contact_email: "),
        (("create_company", "Initech", "--workspace", ""), "name: This field cannot be blank"),
        (("create_api_key",), "either --company ID or --workspace ID"),
        (("create_api_key", "--company", "7"), "no company '7'"),
        (("create_api_key", "--workspace", "01a201cd-45ed-7abb-9480-7c71bc1dae17"), "no workspace"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: tuple[str, ...], rule: str) -> None:
    with pytest.raises(CommandError, match=rule):
        run(*arguments)
    assert not Company.objects.exists()


def test_a_key_for_the_system_workspace_is_refused(tenant: Tenant) -> None:
    with pytest.raises(CommandError):
        run("create_api_key", "--workspace", str(tenant.company.system_workspace.id))


@pytest.mark.parametrize("networks", ["203.0.113.0/24", [5], [None], ["203.0.113.1/24"], ["x"]])
def test_what_is_no_list_of_networks_is_refused(networks: object) -> None:
    with pytest.raises(ValidationError):
        validate_networks(networks)
