import pytest

from jobs import registry


@pytest.fixture
def own_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that a test declares end with it."""
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))
