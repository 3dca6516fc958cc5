"""Text from outside that is kept for people to read."""


def storable(text: str) -> str:
    """The text as Postgres can hold it: U+FFFD in place of NUL, `?` in place of lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
