import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from django.db import models

from audit.ids import uuid7
from audit.models import Company
from reviews.source import SourceReview


class UnknownTenant(LookupError):
    """There is no open company with this id."""

    def __init__(self, tenant: uuid.UUID) -> None:
        super().__init__(f"tenant {tenant}: {self.__doc__}")


class UnknownConnector(LookupError):
    """The tenant has no connector of this name."""

    def __init__(self, tenant: uuid.UUID, name: str) -> None:
        super().__init__(f"connector {name!r} of tenant {tenant}: {self.__doc__}")


def open_tenant(tenant: uuid.UUID) -> Company:
    """Raises UnknownTenant."""
    company = Company.objects.filter(pk=tenant, closed_at=None).first()
    if company is None:
        raise UnknownTenant(tenant)
    return company


class ConnectorQuerySet(models.QuerySet["Connector"]):
    def named(self, name: str, *, tenant: uuid.UUID) -> "Connector":
        """Raises UnknownTenant, UnknownConnector."""
        connector = self.filter(company=open_tenant(tenant), name=name).first()
        if connector is None:
            raise UnknownConnector(tenant, name)
        return connector


class Connector(models.Model):
    """Where a tenant's reviews come from. The operators enter it: its URL is not checked against private networks."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=100)
    url = models.URLField()

    objects = ConnectorQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["company", "name"], name="connector_name_once_per_company")]

    def __str__(self) -> str:
        return self.name


class ReviewQuerySet(models.QuerySet["Review"]):
    def store(self, connector: Connector, reviews: Sequence[SourceReview]) -> None:
        """Insert what is new and update what is known, by the source's own id: twice is once."""
        rows = {
            review.id: Review(
                company=connector.company,
                connector=connector,
                source_id=review.id,
                author=review.author,
                rating=review.rating,
                text=review.text,
                written_at=review.written_at,
            )
            for review in reviews
        }
        self.bulk_create(
            [rows[source_id] for source_id in sorted(rows)],  # in one order everywhere: none waits for the other
            update_conflicts=True,
            unique_fields=["connector", "source_id"],
            update_fields=["author", "rating", "text", "written_at"],
        )

    def written_on(self, day: date, *, tenant: uuid.UUID) -> "ReviewQuerySet":
        """Those of a tenant from one day, in UTC."""
        begins = datetime.combine(day, time.min, UTC)
        return self.filter(company_id=tenant, written_at__gte=begins, written_at__lt=begins + timedelta(days=1))


class Review(models.Model):
    """What somebody wrote about the tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    connector = models.ForeignKey(Connector, on_delete=models.PROTECT, related_name="reviews", db_index=False)
    source_id = models.CharField(max_length=200)
    author = models.CharField(max_length=200)
    rating = models.PositiveSmallIntegerField()
    text = models.TextField(blank=True)
    written_at = models.DateTimeField()

    objects = ReviewQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connector", "source_id"], name="review_once")]
        indexes = [
            # The reviews of a period, and the export of a company.
            models.Index(fields=["company", "written_at"], name="review_period"),
        ]

    def __str__(self) -> str:
        return self.source_id
