"""The tables of this app, for exports and erasures."""

from audit.personal_data import Form, cover, erase
from reviews import models


def declare() -> None:
    """Tell exports and erasures of the tables."""
    cover(
        models.Connector,
        meaning="A place on the internet that the company's reviews are read from.",
        kept="until an operator deletes it",
        columns={
            "id": "The connector's identifier.",
            "company_id": "The company whose reviews are read.",
            "name": "What it is called.",
            "url": "The internet address.",
        },
    )
    cover(
        models.Review,
        meaning="What somebody wrote about the company.",
        kept="without end",
        columns={
            "id": "The review's identifier.",
            "company_id": "The company that it is about.",
            "connector_id": "Where it was read.",
            "source_id": "Its identifier there.",
            "author": "Who wrote it.",
            "rating": "How many stars they gave.",
            "text": "What they wrote.",
            "written_at": "When they wrote it.",
        },
    )
    erase(
        models.Connector,
        numbered=frozenset({"name"}),
        forms={"url": Form(write=lambda *_: "https://erased.invalid/")},
    )
    erase(models.Review, numbered=frozenset({"source_id"}))
