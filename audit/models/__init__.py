from audit.models.api_key import ApiKey
from audit.models.company import ChainHead, Company, Workspace
from audit.models.event import AuditEvent
from audit.models.idempotency import IdempotencyRecord

__all__ = ["ApiKey", "AuditEvent", "ChainHead", "Company", "IdempotencyRecord", "Workspace"]
