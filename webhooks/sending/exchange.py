from time import monotonic
from typing import Final

from webhooks.sending.answer import Answer
from webhooks.sending.outcome import Kind, Outcome, Timing
from webhooks.sending.request import Request
from webhooks.sending.sentences import advice, advice_on_status
from webhooks.sending.target import Target

_SENTENCES: Final = {
    Kind.DNS: "The name {name} could not be resolved",
    Kind.REFUSED: "{where} accepted no connection",
    Kind.TLS: "No trusted TLS session with {where}",
    Kind.BLOCKED: "Nothing was sent to {where}",
    Kind.PROTOCOL: "{where} gave an answer that is not acceptable HTTP",
}


class Exchange:
    """One request on its way: what is known so far, and the outcome made of it. Belongs to one transport."""

    __slots__ = ("address", "answer", "connect", "dns", "first_byte", "repeated", "request", "started", "target", "tls")

    def __init__(self, request: Request, target: Target) -> None:
        self.request = request
        self.target = target
        self.answer = Answer(keep=request.keep, sink=request.sink)
        self.address: str | None = None
        self.started = monotonic()
        self.dns: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        self.first_byte: float | None = None
        self.repeated = False

    def elapsed(self) -> float:
        """Milliseconds since the request was submitted."""
        return (monotonic() - self.started) * 1000

    def remaining(self) -> float:
        """Seconds until the deadline, negative behind it."""
        return self.started + self.request.timeout - monotonic()

    def end(self) -> Outcome:
        """Make the outcome of an answer that was read to its end, or up to the cap: its status decides."""
        status = self.answer.status
        if status is None or status < 200:
            return self.fail(Kind.PROTOCOL, "it carries no final status")
        if not self.answer.complete:
            return self.fail(Kind.DISCONNECTED)
        if status < 300:
            return self._outcome(Kind.DELIVERED, "")
        return self._outcome(Kind.REJECTED, f"{self.target.origin} answered {status}. {advice_on_status(status)}")

    def fail(self, kind: Kind, detail: str = "") -> Outcome:
        """Make the outcome of a request that had no complete answer; `detail` is what the layer below said of it."""
        detail = detail.strip().rstrip(".").removeprefix("url: ")
        sentence = self._sentence(kind)
        return self._outcome(kind, f"{sentence}{f': {detail}' if detail else ''}. {advice(kind)}")

    def _sentence(self, kind: Kind) -> str:
        where = self.target.origin
        begun = self.answer.status is not None
        if kind is Kind.TIMEOUT:
            stage = "had answered completely" if begun else "had answered"
            return f"The deadline of {self.request.timeout:g} s passed before {where} {stage}"
        if kind is Kind.DISCONNECTED:
            stage = "its answer was complete" if begun else "it answered"
            return f"{where} closed the connection before {stage}"
        return _SENTENCES[kind].format(where=where, name=self.target.host)

    def _outcome(self, kind: Kind, error: str) -> Outcome:
        timing = Timing(self.dns, self.connect, self.tls, self.first_byte, self.elapsed())
        answer = self.answer
        return Outcome(kind, answer.status, error, answer.headers, answer.body, self.address, timing, self.repeated)


def blocked(reason: Exception) -> Outcome:
    """Make the outcome of a request our own rules stopped before it had a target."""
    return Outcome(Kind.BLOCKED, error=f"Nothing was sent: {str(reason).removeprefix('url: ')}.")
