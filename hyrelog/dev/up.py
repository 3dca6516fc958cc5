"""`python manage.py up`: everything that HyreLog needs, on this machine, until Ctrl+C."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from honcho.environ import parse_procfile

from hyrelog.dev import env_file, state
from hyrelog.dev.announcement import PORT_OF, Announcement, describe_run
from hyrelog.dev.child import Child
from hyrelog.dev.code import Code, naming, our_apps
from hyrelog.dev.console import Console
from hyrelog.dev.hosting import ServerFailed, find_hosting
from hyrelog.dev.lifeline import die_with_parent
from hyrelog.dev.ports import NoFreePort, first_free
from hyrelog.dev.postgres import Postgres
from hyrelog.dev.redis import Redis
from hyrelog.dev.server import Server
from hyrelog.dev.supervisor import GRACE_SECONDS, Supervisor, stop_signals
from hyrelog.env import Environment, parse_env_file

PORTS = {"PORT": 8000, "FLOWER_PORT": 5555, "METRICS_PORT": 9091, "RECEIVER_PORT": 8001}
JOBS_SECONDS, BEYOND_JOBS = 3.0, 3.0
"""What jobs get to finish, unless JOB_SHUTDOWN_TIMEOUT says otherwise, and what a worker needs beyond it."""
RESTARTED = ("web", "worker", "beat")
"""What runs the code that `--watch` watches."""
SERVERS: dict[str, type[Server]] = {"DATABASE_URL": Postgres, "REDIS_URL": Redis}


class CannotStart(Exception):
    """`up` cannot start; the message tells why."""


def main(arguments: Sequence[str]) -> None:
    procfile = (state.CHECKOUT / "Procfile").read_text(encoding="utf-8")
    commands: dict[str, str] = parse_procfile(procfile).processes
    options = _parse(arguments, names=list(commands))
    console = Console()
    home = state.state_folder()
    for each in stop_signals():  # set anew: a shell has its background jobs ignore SIGINT
        signal.signal(each, signal.default_int_handler)
    try:
        state.make(home)
        with state.alone_in(home), ExitStack() as cleanup:
            commands = {name: commands[name] for name in options.only}
            _run(commands, home, console, cleanup, demo=options.demo, watched=options.watch)
    except KeyboardInterrupt:
        pass
    except (state.AlreadyUp, ServerFailed, NoFreePort, CannotStart) as problem:
        raise SystemExit(str(problem)) from None
    except PermissionError as problem:
        raise SystemExit(
            f"{problem.filename} is not yours to use ({problem.strerror}): start as the user who made it, "
            "or choose another state folder with HYRELOG_HOME."
        ) from None
    console.say("Stopped.")


def _run(  # noqa: PLR0913  what was asked for, and where
    commands: dict[str, str], home: Path, console: Console, cleanup: ExitStack, *, demo: bool, watched: bool
) -> None:
    run_file = home / "run.json"
    run_file.unlink(missing_ok=True)
    env_file.complete(home / "env")
    servers = _start_servers(home, console, cleanup)
    environment = _environment(home, console, commands)
    _prepare(environment, demo=demo)

    values = parse_env_file(home / "env") | environment
    run = describe_run(values, running=commands, demo=demo)
    ports = [int(values[variable]) for process, variable in PORT_OF.items() if process in commands]
    announcement = Announcement(run_file, run, console=console, ports=ports)
    children = [Child(*each, environment=environment, folder=state.CHECKOUT) for each in commands.items()]
    grace = max(GRACE_SECONDS, float(environment["JOB_SHUTDOWN_TIMEOUT"]) + BEYOND_JOBS)
    supervisor = Supervisor(children, servers=servers, console=console, grace=grace)
    code = Code(our_apps(state.CHECKOUT), root=state.CHECKOUT) if watched else None

    def look() -> None:
        announcement.make_when_ready()
        if code and (changed := code.changed()):
            names = [name for name in RESTARTED if name in commands]
            console.say(f"{naming(changed)} changed: restarting {', '.join(names) or 'nothing'}.")
            supervisor.restart(names)

    supervisor.run(on_change=announcement.update, on_tick=look)


def _start_servers(home: Path, console: Console, cleanup: ExitStack) -> list[Server]:
    """Start those that no URL of the user's own takes the place of; `cleanup` stops them."""
    servers: list[Server] = []
    for variable, kind in SERVERS.items():
        remembered = parse_env_file(home / "env").get(variable, "")
        url = os.environ.get(variable) or remembered
        if url and (url != remembered or not kind.recognise(url)):
            continue
        server = kind(find_hosting(home, announce=console.say), remembered=url, announce=console.say)
        cleanup.callback(_stop, server)
        server.start()
        servers.append(server)
        env_file.write(home / "env", {variable: server.url})
        os.environ[variable] = server.url
    return servers


def _environment(home: Path, console: Console, commands: Mapping[str, str]) -> dict[str, str]:
    """What the processes get: ours, the ports, and a PATH on which they find their programs without a venv."""
    reader = Environment(file=home / "env")
    ports: dict[str, str] = {}
    for variable, usual in PORTS.items():
        wanted = reader.integer(variable, usual, least=1, most=65535)
        if variable == "RECEIVER_PORT" and "receiver" not in commands:
            continue
        port = first_free(wanted, spoken_for=[int(other) for other in ports.values()])
        if port != wanted:
            console.say(f"{variable}={wanted} is taken: using {port}.")
        ports[variable] = str(port)
    patience = reader.seconds("JOB_SHUTDOWN_TIMEOUT", JOBS_SECONDS, most=3600)
    if reader.problems:
        raise CannotStart("\n".join(f"{problem.message} {problem.hint}" for problem in reader.problems))
    bin_folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = {name: value for name, value in os.environ.items() if name != "RECEIVER_PORT"}
    environment |= ports | {"HYRELOG_HOME": str(home), "PATH": os.pathsep.join(bin_folders)}
    environment["JOB_SHUTDOWN_TIMEOUT"] = f"{patience:g}"
    environment["PYTHONUNBUFFERED"] = "1"  # lines appear when they are written
    if console.coloured:
        environment["FORCE_COLOR"] = "1"  # what the processes write to is a pipe, but it ends at a terminal
    return environment


def _prepare(environment: Mapping[str, str], *, demo: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hyrelog.dev.prepare", *([] if demo else ["--no-demo"])],
        cwd=state.CHECKOUT,
        env=environment,
        check=False,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    if done.returncode != 0:
        raise CannotStart("The database could not be prepared; the lines above say why.")


def _stop(server: Server) -> None:
    for each in stop_signals():  # impatience would only leave a server behind
        signal.signal(each, signal.SIG_IGN)
    server.stop()


def _parse(arguments: Sequence[str], *, names: list[str]) -> argparse.Namespace:
    def some(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",")]
        if unknown := [name for name in chosen if name not in names]:
            raise argparse.ArgumentTypeError(
                f"{', '.join(unknown)!r} is not in the Procfile; choose from {','.join(names)}."
            )
        return chosen

    parser = argparse.ArgumentParser(
        prog="manage.py up",
        description="Start HyreLog with everything it needs; Ctrl+C stops it.",
        epilog="DATABASE_URL and REDIS_URL name servers of your own; PORT, FLOWER_PORT, METRICS_PORT and RECEIVER_PORT "
        "choose ports; HYRELOG_HOME chooses the folder of all state, by default .hyrelog in the checkout.",
    )
    parser.add_argument("--no-demo", dest="demo", action="store_false", help="make no demo tenant")
    parser.add_argument("--only", type=some, default=names, metavar="NAMES", help=f"a part of {','.join(names)}")
    parser.add_argument(
        "--watch", action="store_true", help=f"restart {', '.join(RESTARTED)} whenever the code changes"
    )
    return parser.parse_args(arguments)
