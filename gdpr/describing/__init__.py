"""What an archive says of itself: to a person, as Art. 15(1) GDPR asks for, and field by field."""

from gdpr.describing.context import context_of
from gdpr.describing.fields import fields
from gdpr.describing.page import readme

__all__ = ["context_of", "fields", "readme"]
