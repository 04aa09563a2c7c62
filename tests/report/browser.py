"""A headless Chromium, driven over a pipe by its own protocol: open a page, read it, and list what it asked for."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Chromium reads commands from descriptor 3 and writes what happens to 4.
START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def found() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A tab. `requests`: every URL it asked for; `complaints`: console errors, warnings and exceptions."""

    def __init__(self, commands, events) -> None:
        self.commands, self.events, self.number = commands, events, 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while (answer := self._next()).get("id") != self.number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.call("Page.navigate", url=path.as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str):
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def text(self) -> str:
        return self.evaluate("document.body.innerText")

    def wide(self, pixels: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=pixels, height=1200, deviceScaleFactor=1, mobile=False)

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])

    def _next(self) -> dict:
        letters = bytearray()
        while (letter := self.events.read(1)) != b"\0":
            assert letter, "Chromium ended"
            letters += letter
        event = json.loads(letters)
        told, method = event.get("params", {}), event.get("method")
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.complaints.append(str(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        return event


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A fresh browser with its own profile, gone after the block."""
    browser = found()
    options = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
    options += ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    options += ["--no-sandbox"] * (os.geteuid() == 0)  # its sandbox does not start for root
    commands_out, commands_in = os.pipe()
    events_out, events_in = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(commands_out), str(events_in), browser, *options],
        pass_fds=(commands_out, events_in),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(commands_out)
    os.close(events_in)
    try:
        with os.fdopen(commands_in, "wb") as commands, os.fdopen(events_out, "rb") as events:
            page = Page(commands, events)
            yield page
            page.session = None
            page.call("Browser.close")
        process.wait(20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
