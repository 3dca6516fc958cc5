"""The rights that Art. 15(1)(e) and (f) GDPR have a person told of."""

COMPLAINT = (
    "Whomever data is about may complain to a supervisory authority for data protection, in particular where they live"
    " or work, or where they think that the law was broken."
)

_RIGHTS = (
    ("rectification", "16", "What is wrong about a person has to be corrected, and what is missing to be added."),
    (
        "erasure",
        "17",
        "What is kept about a person without need, or against the law, has to be erased, with exceptions.",
    ),
    ("restriction", "18", "While it is disputed, what is kept about a person may only be stored, not used."),
    (
        "objection",
        "21",
        "A person may object, for reasons of their own, to processing for a public task or a legitimate interest.",
    ),
)


def rights(*, ask: str) -> list[dict[str, str]]:
    """Each right with its article, what it says, and where to turn to; `ask` is such as "ask Acme"."""
    return [
        {"right": right, "article": article, "statement": f"{says} To claim this, {ask}."}
        for right, article, says in _RIGHTS
    ]
