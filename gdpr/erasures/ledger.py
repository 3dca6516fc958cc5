"""The ledger of an erasure: a file beside the archives by which it can be repeated after a backup was restored."""

from gdpr.models import Erasure


def write(erasure: Erasure) -> None:
    """Put the ledger into the storage of archives; one that is there already is replaced. Raises OSError."""
