import json
from pathlib import Path
from typing import Any

import pytest
from reviews.models import Connector, Review
from reviews.source import SourceReview

from audit.personal_data import covered
from gdpr.reading import read
from gdpr.selecting import rows_of_company
from tests.conftest import Tenant
from tests.examples.reviews.pages import review
from tests.gdpr.erasures.engine import ADA, erased


@pytest.mark.django_db
def test_an_export_holds_the_tenant_s_reviews_and_no_other_s(
    tenant: Tenant, other_tenant: Tenant, connector: Connector
) -> None:
    foreign = Connector.objects.create(company=other_tenant.company, name="shop", url=connector.url)
    for each, author in ((connector, "Ada"), (foreign, "Bob")):
        Review.objects.store(each, [SourceReview.model_validate(review(1, author=author))])
    (table,) = (table for table in covered() if table.model is Review)
    parts = read(rows_of_company(table, tenant.company))
    lines = [json.loads(line) for part in parts for line in part.text.splitlines()]
    assert [(line["author"], line["source_id"]) for line in lines] == [("Ada", "r1")]


@pytest.mark.django_db
def test_an_erasure_takes_an_author_out_of_the_tenant_s_reviews(
    tenant: Tenant, other_tenant: Tenant, connector: Connector, settings: Any, tmp_path: Path
) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)
    foreign = Connector.objects.create(company=other_tenant.company, name="shop", url=connector.url)
    for each in (connector, foreign):
        Review.objects.store(each, [SourceReview.model_validate(review(1, author="ada"))])
    erasure = erased(tenant.company, ADA)
    authors = Review.objects.order_by("company__name").values_list("author", flat=True)
    assert list(authors) == [erasure.pseudonym, "ada"]
