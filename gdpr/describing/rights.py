"""The rights that Art. 15(1)(e) and (f) GDPR have a person told of."""

RIGHTS = [
    {
        "right": "rectification",
        "article": "16",
        "statement": "What is wrong about a person has to be corrected, and what is missing to be added.",
    },
    {
        "right": "erasure",
        "article": "17",
        "statement": "What is kept without need, or against the law, has to be erased. There are exceptions.",
    },
    {
        "right": "restriction",
        "article": "18",
        "statement": "While it is disputed, what is kept about a person may only be stored, not used.",
    },
    {
        "right": "objection",
        "article": "21",
        "statement": "Where data is used for a public task or a legitimate interest, a person may object to that, for"
        " reasons of their own.",
    },
    {
        "right": "complaint",
        "article": "77",
        "statement": "Whomever data is about may complain to a supervisory authority for data protection, in particular"
        " where they live or work, or where they think that the law was broken.",
    },
]
"""All but a complaint are claimed from the controller."""
