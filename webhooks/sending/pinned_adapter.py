import ssl
from collections.abc import Iterator
from typing import Any, Final

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, InvalidChunkLength
from urllib3.util import SKIP_HEADER

from webhooks.sending.outcome import Kind
from webhooks.sending.pinned_connection import POOLS
from webhooks.sending.request import WITHOUT_BODY
from webhooks.sending.request_headers import USER_AGENT
from webhooks.sending.threaded_exchange import Failed, ThreadedExchange

_HOSTS_CAP: Final = 256
_PIECE: Final = 16 * 1024


class PinnedAdapter(HTTPAdapter):
    """requests' adapter on pinned connections, used without a Session.

    What a Session would add (proxies and netrc of the environment, cookies, redirects, default headers) is what a
    webhook must not have, so none is made.
    """

    def __init__(self, *, context: ssl.SSLContext, connections: int) -> None:
        self._context = context
        super().__init__(pool_connections=_HOSTS_CAP, pool_maxsize=connections)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002 - requests' signature
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave trust to the one context: requests would load the bundle anew for each connection."""

    def exchange(self, exchange: ThreadedExchange) -> None:
        """Send the exchange's request and fill its answer; raises `Failed`, and what requests and urllib3 raise."""
        response = self.send(_prepared(exchange), stream=True, timeout=None, proxies={})
        raw: Any = response.raw
        try:
            exchange.answer.take_head(raw.status, list(raw.headers.items()))
            for piece in _pieces(raw):
                if not exchange.answer.take_body(piece):
                    break
                exchange.note_taken()
        except HTTPError as error:
            if isinstance(error.__cause__, InvalidChunkLength):
                raise Failed(Kind.PROTOCOL, "a chunk has no valid length") from error
            raise Failed(Kind.DISCONNECTED) from error
        finally:
            _give_back(raw)


def _pieces(raw: Any) -> Iterator[bytes]:
    """Read a body as it came, still encoded, by whatever has arrived rather than by full blocks."""
    if raw.chunked:
        yield from raw.read_chunked(_PIECE, decode_content=False)
        return
    while piece := raw.read1(_PIECE, decode_content=False):
        yield piece


def _give_back(raw: Any) -> None:
    """Keep a connection whose answer was read to its end, close any other."""
    if not raw.closed:
        raw.close()
    raw.release_conn()


def _prepared(exchange: ThreadedExchange) -> PreparedRequest:
    request = exchange.request
    prepared = PreparedRequest()
    prepared.method = request.method
    prepared.url = exchange.target.url
    prepared.body = None if request.method in WITHOUT_BODY else request.body
    prepared.headers = CaseInsensitiveDict({"User-Agent": USER_AGENT, "Accept-Encoding": SKIP_HEADER})
    prepared.headers.update(request.headers)
    if prepared.body is not None:
        prepared.headers["Content-Length"] = str(len(request.body))
    return prepared
