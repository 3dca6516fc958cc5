"""The admin's pages of erasures and of the legal holds that keep them from running."""

from gdpr.admin.erasures.erasure import ErasureAdmin
from gdpr.admin.erasures.hold import LegalHoldAdmin
from gdpr.admin.erasures.records import ErasedRowAdmin, ErasureApprovalAdmin

__all__ = ["ErasedRowAdmin", "ErasureAdmin", "ErasureApprovalAdmin", "LegalHoldAdmin"]
