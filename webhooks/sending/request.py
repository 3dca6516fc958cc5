from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID


class Request(NamedTuple):
    """One POST, complete as it shall appear on the wire.

    `id` is the attempt's and comes back with the outcome. `headers` hold everything, signatures included: a transport
    adds only Host, Content-Length and, where none is given, a User-Agent. `timeout` is one deadline in seconds, from
    the name look-up to the last byte of the answer.
    """

    id: UUID
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float
