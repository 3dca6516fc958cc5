"""Headers that a tenant adds come as they are, each once, over both transports."""

from tests.webhooks.sending.peers import OK, Connection
from tests.webhooks.sending.senders import HEADERS, Send, Serve

ADDED = {
    "User-Agent": "Acme/1",
    "Accept": "text/plain",
    "Authorization": "Basic YWRhOnBhc3M=",
    "Cookie": "a=b; c=d",
    "Cache-Control": "no-store",
    "X-Empty": "",
}


def test_added_headers_take_the_place_of_a_transport_s_own(send: Send, serve: Serve) -> None:
    heads = []

    def behave(connection: Connection) -> None:
        heads.append(connection.request())
        connection.send(OK)

    peer = serve(behave)
    assert send(peer.url(), headers=HEADERS | ADDED).status == 200
    lines = [line.partition(":") for line in heads[0].decode().split("\r\n\r\n")[0].split("\r\n")[1:]]
    came = [(name, value.strip()) for name, _, value in lines]
    assert sorted(came) == sorted(
        [*HEADERS.items(), *ADDED.items(), ("Host", f"127.0.0.1:{peer.port}"), ("Content-Length", "2")]
    )
