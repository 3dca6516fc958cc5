"""How a stream ends, other than by its client."""


class Ended(Exception):
    """The stream ends, with a close code (RFC 6455, section 7.4) and a sentence for people."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def takes_no_messages() -> Ended:
    return Ended(1008, "This stream takes no messages.")


def failed() -> Ended:
    return Ended(1011, "HyreLog failed; the failure is in its log.")


def too_slow() -> Ended:
    return Ended(1013, "The client takes messages too slowly; connect again.")


def unavailable() -> Ended:
    return Ended(1013, "The database is away; connect again in a moment.")


def key_ended() -> Ended:
    return Ended(4401, "The API key is no longer valid here: it was revoked or restricted, or has expired.")
