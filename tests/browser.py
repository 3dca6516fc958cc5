"""A real browser: Chromium, driven by the protocol of https://www.w3.org/TR/webdriver2/, a window for each person."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.system import wait_until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the protocol names an element."""
ENTER = "\ue007"
PATIENCE = 60
"""Seconds until what is waited for has to be there."""
_PORT = re.compile(r"started successfully on port (\d+)")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900")


class Browser:
    """A window with cookies of its own. What finds elements takes CSS selectors, and the first that fits."""

    def __init__(self, driver: str) -> None:
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": _OPTIONS}}
        answer = _asked("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"{driver}/session/{answer['sessionId']}"

    def open(self, url: str) -> None:
        self._ask("POST", "/url", url=url)

    def close(self) -> None:
        self._ask("DELETE")

    @property
    def url(self) -> str:
        return str(self._ask("GET", "/url"))

    @property
    def text(self) -> str:
        """What the page shows."""
        return str(self.script("return document.body.innerText"))

    def has(self, css: str) -> bool:
        return bool(self._all(css))

    def click(self, css: str) -> None:
        """Click on it; whatever page that opens is loaded when the next question is asked."""
        self._ask("POST", f"/element/{self._one(css)}/click")

    def type(self, css: str, text: str) -> None:
        """Type it there, behind what stands there."""
        self._ask("POST", f"/element/{self._one(css)}/value", text=text)

    def press(self, key: str) -> None:
        """Press and release a key wherever the focus is."""
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._ask("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    def script(self, code: str) -> Any:
        """What the code returns, as the body of a function in the page."""
        return self._ask("POST", "/execute/sync", script=code, args=[])

    def wait_for(self, text: str, *, seconds: float = PATIENCE) -> None:
        """Wait until the page shows the text, whether by itself or loaded anew."""
        wait_until(lambda: self._shows(text), seconds=seconds, what=f"{text!r} on the page", state=lambda: self.text)

    def _shows(self, text: str) -> bool:
        with contextlib.suppress(AssertionError):  # the page is just being loaded anew
            return text in self.text
        return False

    def _one(self, css: str) -> str:
        found: list[str] = wait_until(lambda: self._all(css), seconds=10, what=css, state=lambda: self.text)
        return found[0]

    def _all(self, css: str) -> list[str]:
        found = self._ask("POST", "/elements", using="css selector", value=css)
        return [str(each[ELEMENT]) for each in found]

    def _ask(self, method: str, command: str = "", **parameters: Any) -> Any:
        return _asked(method, self._session + command, parameters)


@contextmanager
def running_driver() -> Iterator[str]:
    """The address of a chromedriver; skips the test where there is none."""
    program = shutil.which("chromedriver")
    if program is None:
        pytest.skip("chromedriver is not installed, so nobody looks at the admin through a browser")
    with subprocess.Popen([program, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = next(match[1] for line in process.stdout if (match := _PORT.search(line)))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def running_browser(driver: str) -> Iterator[Browser]:
    browser = Browser(driver)
    try:
        yield browser
    finally:
        browser.close()


def _asked(method: str, url: str, parameters: dict[str, Any]) -> Any:
    answer = requests.request(method, url, json=parameters if method == "POST" else None, timeout=60)
    value = answer.json()["value"]
    assert answer.ok, f"{method} {url}: {value.get('error')}: {value.get('message')}"
    return value
