"""The embedded Postgres: the binaries that pgserver ships, without pgserver's manager."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar, LiteralString

import psutil
import psycopg
from psycopg import sql

from hyrelog.dev.hosting import ServerFailed
from hyrelog.dev.ports import LOOPBACK
from hyrelog.dev.server import PasswordRefused, Server

SUPERUSER = "postgres"
ROLE = DATABASE = "hyrelog"
NO_PROCESS = 2**31 - 1
"""A pid above every system's limit."""


class Postgres(Server):
    name = "postgres"
    program = "postgres"
    wheel = "pgserver"
    path_in_wheel = "pginstall/bin/postgres"
    url_form = f"postgres://{ROLE}:PASSWORD@{LOOPBACK}:PORT/{DATABASE}"
    usual_port = 15432  # below the range from which the kernel takes ports for outgoing connections
    port_lost = "could not create any TCP/IP sockets"
    keeps_password = True
    endings = ((signal.SIGINT, 2.5), (signal.SIGQUIT, 1), (signal.SIGKILL, 1))  # fast, immediate, killed
    durable: ClassVar[bool] = True
    rights: ClassVar[LiteralString] = "SUPERUSER CREATEDB"
    """Of HyreLog's own role: on a developer's machine psql may do anything, also what the triggers guard against."""

    @property
    def served(self) -> Path:
        return self.data / "cluster"

    def start(self) -> None:
        super().start()
        with self._connect() as connection:
            role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).rowcount == 0:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
            rights, password = sql.SQL(self.rights), sql.Literal(self.password)
            connection.execute(sql.SQL("ALTER ROLE {} {} PASSWORD {}").format(role, rights, password))
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount == 0:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    def _start(self) -> None:
        try:
            super()._start()
        except PasswordRefused:  # .hyrelog/env was lost, or an earlier start did not live to write it
            self.stop()
            self._set_password()
            super()._start()

    def _prepare(self) -> None:
        if (self.served / "PG_VERSION").exists():
            self._void_pid_file()
            return
        staging = self.data / "new"  # a cluster is whole or not there
        shutil.rmtree(staging, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self.hosting.folder) as password:
            password.write(self.password)
            password.flush()
            if os.geteuid() == 0:
                os.fchown(password.fileno(), self.hosting.uid, self.hosting.gid)
            arguments = ["--pgdata", str(staging), "--username", SUPERUSER, "--pwfile", password.name]
            arguments += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--lc-ctype", _ctype()]
            self._tool("initdb", *arguments, *([] if self.durable else ["--no-sync"]))
        staging.rename(self.served)

    def _void_pid_file(self) -> None:
        """Let the pid file of a server that is no more not stop the next one.

        Postgres refuses to start where the file names a process that lives, though it be a stranger's by now. Only the
        number is replaced: by the rest of the file Postgres finds out whether parts of the old server still run. A
        rename, since root must not write through a name in a folder of somebody else's.
        """
        file = self.served / "postmaster.pid"
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        if not lines:  # Postgres would not take an empty one
            file.unlink()
            return
        with tempfile.NamedTemporaryFile("w", dir=self.hosting.folder, delete=False) as void:
            void.write("\n".join([str(NO_PROCESS), *lines[1:], ""]))
        if os.geteuid() == 0:
            os.chown(void.name, self.hosting.uid, self.hosting.gid)
        Path(void.name).replace(file)

    def _spawn(self) -> psutil.Popen:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",  # their paths may not be as long as a checkout's can be
            "max_connections": 100,
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._run(["-D", str(self.served), *flags])

    def _lets_us_in(self, running: psutil.Process) -> bool:
        if not self._is_ready(running.pid):  # if anyone answers on the port now, it is another server
            return False
        try:
            with self._connect() as connection:
                answer = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as refusal:
            if "password authentication failed" in str(refusal):
                raise PasswordRefused from None
            return False
        return answer is not None and Path(answer[0]).resolve() == self.served

    def _is_ready(self, pid: int) -> bool:
        """What the server writes into its own pid file; see AddToDataDirLockFile in Postgres's miscinit.c."""
        try:
            lines = (self.served / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            password=self.password,
            dbname="postgres",
            connect_timeout=3,
            sslmode="disable",
            autocommit=True,
        )

    def _set_password(self) -> None:
        """Without a password nobody comes in but the owner of the files, and that is us."""
        statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{self.password}'\n"
        self._tool("postgres", "--single", "-D", str(self.served), "postgres", text=statement)

    def _tool(self, name: str, *arguments: str, text: str = "") -> None:
        done = subprocess.run(
            [str(self.executable.with_name(name)), *arguments],
            input=text,
            cwd=self.data,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            **self.hosting.identity,
        )
        if done.returncode != 0:
            raise ServerFailed(f"{name} failed with status {done.returncode}:\n{done.stdout}{done.stderr}")


def _ctype() -> str:
    """Letters beyond ASCII have upper and lower case, where the system knows a locale for that."""
    return "C.UTF-8" if os.uname().sysname == "Linux" else "C"
