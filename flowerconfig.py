"""How `celery -A hyrelog flower` starts: with a password, on loopback, remembering what it saw.

Flower executes this file where it stands in the working directory and takes the names that are options of its own.
Each can be set as FLOWER_… in the environment, or in the state folder's env file; the command line still wins.
"""

import os
from pathlib import Path

from hyrelog.env import Environment

_home = Path(os.environ.get("HYRELOG_HOME") or Path(__file__).parent / ".hyrelog")
_home.mkdir(parents=True, exist_ok=True)
os.umask(0o077)  # what Flower remembers is nobody else's to read
_environment = Environment(file=_home / "env")

basic_auth = list(_environment.names("FLOWER_BASIC_AUTH"))
if not basic_auth or not all(":" in pair for pair in basic_auth):
    raise SystemExit(
        "Flower does not start without a password, since it shows and stops every task: "
        "set FLOWER_BASIC_AUTH=user:password (several separated by commas)."
    )
address = _environment.text("FLOWER_ADDRESS", "127.0.0.1")
persistent = _environment.boolean("FLOWER_PERSISTENT", default=True)
db = _environment.text("FLOWER_DB", str(_home / "flower"))
state_save_interval = _environment.integer("FLOWER_STATE_SAVE_INTERVAL", 60_000, least=0, most=86_400_000)
