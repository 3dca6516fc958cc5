import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hyrelog.dev.workshop import Workshop


@pytest.fixture
def home() -> Iterator[Path]:
    """A state folder that root's servers can reach; tmp_path is closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="hyrelog-home-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def workshop(home: Path) -> Iterator[Workshop]:
    workshop = Workshop(home)
    yield workshop
    workshop.clear()
