"""Archives of a company that a person was erased from, as their verifier sees them together with the certificate."""

import json
from pathlib import Path
from typing import Any

import pytest

from audit import signing
from gdpr import verify
from gdpr.subjects import Subject
from tests.conftest import Tenant, draft
from tests.gdpr.erasures.engine import ADA, erased
from tests.gdpr.making import make_one


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path / "exports")


def test_archives_prove_an_erasure_and_the_certificate_names_its_records(tenant: Tenant, tmp_path: Path) -> None:
    of_bob = draft(actor={"id": "bob"}, payload={"to": ADA.emails[0]})
    tenant.record(of_bob, draft(), draft(actor={"id": ADA.actor_ids[0]}))
    erasure = erased(tenant.company)
    file, keys = tmp_path / "certificate.json", signing.public_keys().values()
    file.write_text(json.dumps(erasure.certificate))
    whole = make_one(tenant.company)
    report = verify.verify(whole.file, keys=keys, certificate=verify.read_certificate(file))
    assert (report.faults, report.status) == ([], 0)
    assert report.erasures == {str(erasure.pk): 3}
    bob = make_one(tenant.company, scope="subject", subject=Subject(actor_ids=("bob",)))
    report = verify.verify(bob.file, keys=keys)
    assert (report.faults, report.status, report.erasures) == ([], 0, {str(erasure.pk): 1})
    for made in (whole, bob):
        assert ADA.emails[0] not in made.zip.read("data/audit_auditevent.ndjson").decode()
