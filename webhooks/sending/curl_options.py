from collections.abc import Mapping
from typing import Any, Final

import pycurl

from webhooks.sending.request_headers import USER_AGENT

_IDLE_SECONDS: Final = 60
_CONNECTION_SECONDS: Final = 600  # a receiver that moved is followed after that, at the latest

CONSTANT: Final[dict[int, Any]] = {
    pycurl.UPLOAD_BUFFERSIZE: 16 * 1024,  # each handle keeps one, of 64 KiB otherwise: with hundreds of them it adds up
    pycurl.USERAGENT: USER_AGENT,
    # What a URL may do: be requested as written, by HTTP/1.1, once.
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.REDIR_PROTOCOLS: 0,
    pycurl.FOLLOWLOCATION: 0,
    pycurl.PATH_AS_IS: 1,
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
    pycurl.HTTP09_ALLOWED: 0,
    # Nothing from the environment, nothing remembered, no name resolved behind our back.
    pycurl.PROXY: "",
    pycurl.NOPROXY: "*",
    pycurl.NETRC: pycurl.NETRC_IGNORED,
    pycurl.RESOLVER_START_FUNCTION: lambda: 1,  # called before libcurl asks a name server: 1 forbids it
    pycurl.NOSIGNAL: 1,
    # Bodies are decoded under our own cap.
    pycurl.HTTP_CONTENT_DECODING: 0,
    # TLS as it should be, said aloud.
    pycurl.SSL_VERIFYPEER: 1,
    pycurl.SSL_VERIFYHOST: 2,
    pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
    # Connections are kept alive; how a dead one is met is told in CurlHandle.
    pycurl.MAXAGE_CONN: _IDLE_SECONDS,
    pycurl.MAXLIFETIME_CONN: _CONNECTION_SECONDS,
}


def header_lines(headers: Mapping[str, str]) -> list[str]:
    """Write checked headers as libcurl wants them, and switch off those it would add."""
    # "Name:" takes a header away, "Name;" sends it empty (CURLOPT_HTTPHEADER).
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers.items()]
    lines += ("Expect:", "Accept:")
    if not any(name.lower() == "content-type" for name in headers):
        lines.append("Content-Type:")
    return lines
