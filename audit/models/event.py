from typing import Any

from django.db import models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact

from audit import chain
from audit.ids import uuid7
from audit.models.company import Company, Workspace


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def by_actor(self, actor_id: str) -> "AuditEventQuerySet":
        # `actor__id=…` would compare jsonb (`->`), which the index on the text (`->>`) does not serve.
        return self.filter(Exact(KeyTextTransform("id", "actor"), actor_id))


class AuditEvent(models.Model):
    """One thing that happened, sealed into its workspace's chain.

    Append-only: the database refuses any change but an erasure (audit.erasing), which leaves the commitments and the
    hash as they were, takes the salt of what it replaced, and names the event of the chain that records it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Indexed below, each together with what its lists are ordered by.
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="events", db_index=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    category = models.CharField(max_length=200)
    action = models.CharField(max_length=200)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    actor = models.JSONField(null=True)
    target = models.JSONField(null=True)
    payload = models.JSONField(null=True)
    metadata = models.JSONField(null=True)
    changes = models.JSONField(null=True)
    context = models.JSONField(null=True)

    actor_salt = models.CharField(max_length=64, null=True)
    actor_commitment = models.CharField(max_length=64)
    content_salt = models.CharField(max_length=64, null=True)
    content_commitment = models.CharField(max_length=64)
    # Of what an erasure put in place of the actor or the content: null as long as the salt above is there.
    actor_fresh_salt = models.CharField(max_length=64, null=True)
    actor_erased_by = models.UUIDField(null=True, help_text="The event that records the latest erasure of the actor.")
    content_fresh_salt = models.CharField(max_length=64, null=True)
    content_erased_by = models.UUIDField(
        null=True, help_text="The event that records the latest erasure of the content."
    )
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        constraints = [
            # Serves verification and the list of a workspace; forbids forks.
            models.UniqueConstraint(fields=["workspace", "seq"], name="event_seq_once_per_workspace"),
        ]
        indexes = [
            # The list of a company, newest first.
            models.Index(fields=["company", "id"], name="event_company"),
            # Who did what, newest first: the filter actorId.
            models.Index("company", KeyTextTransform("id", "actor"), "id", name="event_company_actor"),
            # The records of a company's erasures, in the order of its `system` chain.
            models.Index(fields=["company", "seq"], name="event_erasures", condition=models.Q(action="gdpr.erased")),
        ]

    def __str__(self) -> str:
        return f"{self.action} #{self.seq}"

    @property
    def content(self) -> dict[str, Any]:
        """What the content commitment covers."""
        return {
            "target": self.target,
            "payload": self.payload,
            "metadata": self.metadata,
            "changes": self.changes,
            "context": self.context,
        }

    def compute_hash(self) -> str:
        """The hash that this row's own fields give; differs from `hash` if one of them was altered."""
        return chain.chain_hash(
            chain.envelope(
                event_id=str(self.id),
                company_id=str(self.company_id),
                workspace_id=str(self.workspace_id),
                seq=self.seq,
                category=self.category,
                action=self.action,
                occurred_at=self.occurred_at,
                recorded_at=self.recorded_at,
                prev_hash=self.prev_hash,
                actor_commitment=self.actor_commitment,
                content_commitment=self.content_commitment,
            )
        )

    def as_json(self) -> dict[str, Any]:
        """The event as the API and the webhooks show it: as it was sent, beside its chain fields."""
        return {
            "id": str(self.id),
            "companyId": str(self.company_id),
            "workspaceId": str(self.workspace_id),
            "seq": self.seq,
            "hash": self.hash,
            "prevHash": self.prev_hash,
            "category": self.category,
            "action": self.action,
            "occurredAt": chain.timestamp(self.occurred_at),
            "recordedAt": chain.timestamp(self.recorded_at),
            "actor": self.actor,
            "target": self.target,
            "payload": self.payload,
            "metadata": self.metadata,
            "changes": self.changes,
            "traceId": self.trace_id,
        }

    @property
    def trace_id(self) -> str | None:
        return (self.context or {}).get("traceId")
