import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from hyrelog.dev import env_file
from hyrelog.env import parse_env_file


def test_it_is_complete_private_and_stays_the_same(tmp_path: Path) -> None:
    file = tmp_path / "env"
    env_file.complete(file)
    first = file.read_text()
    env_file.complete(file)

    assert file.read_text() == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    values = parse_env_file(file)
    Fernet(values["HYRELOG_ENCRYPTION_KEYS"])
    assert values["FLOWER_BASIC_AUTH"].startswith("hyrelog:")
    assert values["WEBHOOK_ALLOWED_NETWORKS"] == "127.0.0.0/8,::1/128"


def test_what_a_user_wrote_stays(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# mine\nSECRET_KEY=chosen=by me\n\nAPI_RATE_LIMIT=5\n")
    env_file.complete(file)
    env_file.write(file, {"API_RATE_LIMIT": "6"})

    assert file.read_text().startswith("# mine\nSECRET_KEY=chosen=by me\n\nAPI_RATE_LIMIT=6\n")


def test_a_file_open_to_others_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.touch(mode=0o644)
    env_file.complete(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_value_breaks_out_of_its_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="REDIS_URL"):
        env_file.write(tmp_path / "env", {"REDIS_URL": "redis://x\nSECRET_KEY=known"})
    assert not list(tmp_path.iterdir())
