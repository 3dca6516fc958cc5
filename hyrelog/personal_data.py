"""Django's own tables: why no export holds them."""

from django.apps import apps

from audit.personal_data import exclude

REASONS = {
    "admin": "What HyreLog's own operators did in its admin, and the names of the rows that they changed: about these"
    " operators, not about the people in a company's records.",
    "auth": "The accounts and permissions of HyreLog's own operators. They belong to no company.",
    "contenttypes": "The names of HyreLog's own tables. They tell of no person.",
    "sessions": "Who of HyreLog's own operators is signed in to its admin. They belong to no company.",
}


def declare() -> None:
    """Tell exports of the tables."""
    for label, reason in REASONS.items():
        for model in apps.get_app_config(label).get_models(include_auto_created=True):
            exclude(model, reason=reason)
