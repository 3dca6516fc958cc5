import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from hyrelog.dev.hosting import ServerFailed
from hyrelog.dev.postgres import Postgres
from hyrelog.dev.redis import Redis
from hyrelog.dev.server import Server
from tests.hyrelog.dev.workshop import Workshop, is_gone, until
from tests.servers import QuickPostgres

HOLDER = """
import signal, sys
from pathlib import Path
from hyrelog.dev.hosting import find_hosting
from hyrelog.dev.redis import Redis
from tests.servers import QuickPostgres
kind = {"postgres": QuickPostgres, "redis": Redis}[sys.argv[1]]
server = kind(find_hosting(Path(sys.argv[2]), announce=str), announce=str)
server.start()
print(server.url, server.process.pid, flush=True)
signal.pause()
"""
both = pytest.mark.parametrize("kind", [QuickPostgres, Redis], ids=["postgres", "redis"])


def write(server: Server, text: str) -> None:
    if isinstance(server, Redis):
        with closing(redis.Redis.from_url(server.url)) as client:
            client.set("kept", text)
    else:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT %s::text AS text", [text])


def read(server: Server) -> Any:
    if isinstance(server, Redis):
        with closing(redis.Redis.from_url(server.url, decode_responses=True)) as client:
            return client.get("kept")
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT text FROM kept").fetchone()[0]  # type: ignore[index]


def pid_of(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


@contextmanager
def holding(kind: type[Server], home: Path) -> Iterator[tuple["subprocess.Popen[str]", str, int]]:
    """Another process that started a server in the state folder: itself, the server's URL and its pid."""
    command = [sys.executable, "-c", HOLDER, kind.name, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        url, pid = holder.stdout.readline().split()
        try:
            yield holder, url, int(pid)
        finally:
            holder.kill()


@both
def test_a_restart_keeps_data_port_and_password(kind: type[Server], workshop: Workshop) -> None:
    first = workshop.started(kind)
    write(first, "before")
    first.stop()

    second = workshop.started(kind, remembered=first.url)

    assert (read(second), second.url) == ("before", first.url)


@both
def test_it_serves_loopback_alone_with_a_password_from_a_closed_folder(kind: type[Server], workshop: Workshop) -> None:
    server = workshop.started(kind)
    addresses = {each.laddr[0] for each in psutil.net_connections("inet") if each.laddr and each.pid == pid_of(server)}
    assert addresses == {"127.0.0.1"}
    assert server.data.stat().st_mode & 0o777 == 0o700

    stranger = server.url.replace(server.password, "0" * 32)
    if kind is Redis:
        with closing(redis.Redis.from_url(stranger)) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    else:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(stranger)


@both
def test_a_taken_port_is_replaced_and_said_so(kind: type[Server], workshop: Workshop) -> None:
    first = workshop.started(kind)
    first.stop()
    with socket.create_server(("127.0.0.1", first.port)):
        second = workshop.started(kind, remembered=first.url)

    assert second.port > first.port
    assert f"Port {first.port} is taken: {kind.name} uses {second.port}." in workshop.notes


@both
def test_once_others_know_the_port_it_changes_no_more(kind: type[Server], workshop: Workshop) -> None:
    server = workshop.started(kind)
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(ServerFailed, match=str(server.port)):
        server.start()


@both
def test_one_left_running_is_taken_over(kind: type[Server], workshop: Workshop) -> None:
    with holding(kind, workshop.home) as (_, url, pid):
        taken_over = workshop.started(kind, remembered=url)
        write(taken_over, "served")

        assert pid_of(taken_over) == pid
        assert f"{kind.name} was still running (pid {pid}): taken over." in workshop.notes
        taken_over.stop()
        assert is_gone(pid)


@both
def test_one_left_running_with_a_forgotten_password_is_replaced(kind: type[Server], workshop: Workshop) -> None:
    first = workshop.started(kind)
    write(first, "not lost")
    first.stop()
    with holding(kind, workshop.home) as (_, url, pid):
        replacement = workshop.started(kind)

        assert replacement.url != url
        assert is_gone(pid)
        assert read(replacement) == "not lost"


@both
def test_a_killed_server_starts_again_on_the_same_port(kind: type[Server], workshop: Workshop) -> None:
    server = workshop.started(Redis if kind is Redis else Postgres)  # one that is durable
    write(server, "committed")
    if kind is Redis:
        until(lambda: _synced(server))
    psutil.Process(pid_of(server)).kill()
    assert until(server.exit_reason) == -signal.SIGKILL

    until(lambda: _starts(server))

    assert read(server) == "committed"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
@both
def test_it_ends_with_a_holder_that_is_killed(kind: type[Server], workshop: Workshop) -> None:
    with holding(kind, workshop.home) as (holder, url, pid):
        holder.kill()
        until(lambda: is_gone(pid))

        assert workshop.started(kind, remembered=url).url == url


def test_a_pid_file_that_names_a_stranger_stops_nothing_and_hurts_nobody(workshop: Workshop) -> None:
    server = workshop.started()
    psutil.Process(pid_of(server)).kill()
    until(server.exit_reason)
    with subprocess.Popen(["/bin/sleep", "60"], **server.hosting.identity) as stranger:
        file = server.served / "postmaster.pid"
        rest = file.read_text().splitlines()[1:]
        file.write_text("\n".join([str(stranger.pid), *rest, ""]))

        until(lambda: _starts(server))

        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("text", ["", "not a pid\n"])
def test_a_pid_file_cut_short_by_a_crash_stops_nothing(text: str, workshop: Workshop) -> None:
    server = workshop.started()
    server.stop()
    (server.served / "postmaster.pid").write_text(text)
    server.start()


def test_a_cluster_half_made_is_made_anew(workshop: Workshop) -> None:
    server = workshop.server()
    half = server.data / "new"
    half.mkdir()
    (half / "PG_VERSION").write_text("16\n")
    server.start()


def test_a_developer_may_do_anything_and_the_tests_no_more_than_production(workshop: Workshop) -> None:
    rights = "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    for kind, expected in ((QuickPostgres, (False, True)), (Postgres, (True, True))):
        server = workshop.started(kind)
        with psycopg.connect(server.url) as connection:
            assert connection.execute(rights).fetchone() == expected
        server.stop()


@both
def test_a_deep_folder_is_no_hindrance(kind: type[Server], home: Path) -> None:
    deep = home
    while len(str(deep)) < 400:
        deep /= "a folder with a rather long name, and spaces"
    deep.mkdir(parents=True)
    workshop = Workshop(deep)
    try:
        write(workshop.started(kind), "deep down")
    finally:
        workshop.clear()


def test_a_failed_start_shows_the_servers_own_words(workshop: Workshop) -> None:
    server = workshop.started()
    server.stop()
    (server.served / "global" / "pg_control").unlink()
    with pytest.raises(ServerFailed, match="pg_control"):
        server.start()


def _starts(server: Server) -> bool:
    """Orphans of a killed Postgres may hold its memory for a moment."""
    try:
        server.start()
    except ServerFailed:
        return False
    return True


def _synced(server: Server) -> bool:
    with closing(redis.Redis.from_url(server.url)) as client:
        info = client.info("persistence")
        return not info["aof_pending_bio_fsync"] and info["aof_buffer_length"] == 0
