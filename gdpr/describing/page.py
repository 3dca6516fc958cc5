"""`README.html`: what is in an archive and how to check it, for a person who is no developer."""

from typing import Any

from django.template.loader import render_to_string


def readme(manifest: dict[str, Any], *, context: dict[str, Any]) -> str:
    """The page, from what is known before the manifest is written (all but the hashes of files), and `context_of`."""
    return render_to_string("gdpr/readme.html", {"manifest": manifest, "context": context})
