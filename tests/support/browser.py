"""One headless Chromium for many pages, spoken to over a pipe in its own protocol: no driver and no port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


_PATIENCE = 60


def _above(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


@dataclass(frozen=True)
class Seen:
    """wide: pixels the page is wider than its window.  asked: addresses it loaded.  complaints: errors it logged."""

    picture: bytes
    wide: int
    asked: tuple[str, ...]
    complaints: tuple[str, ...]


class Browser:
    """`with Browser(folder) as browser: browser.look(address, 1280)`; folder: for its profile."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        # The protocol's pipes are descriptors 3 and 4 of the browser; ours are numbered above, so that none is lost
        # when these are put in place.
        (to_browser, self._write), (self._read, from_browser) = (map(_above, os.pipe()) for _ in range(2))
        arguments = (
            f"exec {CHROMIUM} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars "
            f"--user-data-dir={folder} --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' "
            f"--remote-debugging-pipe about:blank 3<&{to_browser} 4>&{from_browser}"
        )
        self._process = subprocess.Popen(
            ["bash", "-c", arguments], pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._rest, self._events = 0, b"", []

    def __enter__(self) -> Browser:
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable", page=True)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._read)

    def run(self, expression: str) -> Any:
        """What an expression of JavaScript is on the page that is open; a promise is waited for."""
        answer = self._ask("Runtime.evaluate", page=True, expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def type(self, *keys: str) -> None:
        """Press keys: "Tab", "Enter", " ", or single letters."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        for key in keys:
            told = {"Enter": "\r", "Tab": ""}.get(key, key)
            own = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
            self._ask("Input.dispatchKeyEvent", page=True, type="keyDown", text=told, **own)
            self._ask("Input.dispatchKeyEvent", page=True, type="keyUp", **own)

    def media(self, **features: str) -> None:
        """As another reader's machine has it: media="print", or prefers_color_scheme="dark"."""
        media = features.pop("media", "")
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._ask("Emulation.setEmulatedMedia", page=True, media=media, features=named)

    def pdf(self) -> bytes:
        """The page as it would be printed."""
        return base64.b64decode(self._ask("Page.printToPDF", page=True, printBackground=False)["data"])

    def picture(self, selector: str = "") -> bytes:
        """What the window shows, or an element of it, as PNG."""
        clip = {}
        if selector:
            box = self.run(
                f"(({{x, y, width, height}}) => ({{x: x + scrollX, y: y + scrollY, width, height}}))"
                f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
            )
            clip = {"clip": {**box, "scale": 1}, "captureBeyondViewport": True}
        return base64.b64decode(self._ask("Page.captureScreenshot", page=True, **clip)["data"])

    def look(self, address: str, width: int, height: int = 900, wait: float = 0.3) -> Seen:
        """Open a page in a window of that width, wait until it has loaded and its scripts have run, and look."""
        self._events = []
        self._ask("Emulation.setDeviceMetricsOverride", page=True, width=width, height=height, deviceScaleFactor=1,
                  mobile=False)  # fmt: skip
        self._ask("Page.navigate", page=True, url=address)
        self._until("Page.loadEventFired")
        time.sleep(wait)
        measured = self._ask("Runtime.evaluate", page=True, returnByValue=True,
                             expression="document.documentElement.scrollWidth - window.innerWidth")  # fmt: skip
        picture = self._ask("Page.captureScreenshot", page=True)["data"]
        said = [event["params"] for event in self._events if event["method"] == "Log.entryAdded"]
        thrown = [event["params"] for event in self._events if event["method"] == "Runtime.exceptionThrown"]
        asked = [event["params"] for event in self._events if event["method"] == "Network.requestWillBeSent"]
        return Seen(
            base64.b64decode(picture),
            int(measured["result"]["value"]),
            tuple(event["request"]["url"] for event in asked),
            (*(event["entry"]["text"] for event in said if event["entry"]["level"] == "error"), *map(str, thrown)),
        )

    def _ask(self, method: str, page: bool = False, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if page:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "result" in answer, answer
                return answer["result"]
            self._events.append(answer)

    def _until(self, method: str) -> None:
        while not any(event.get("method") == method for event in self._events):
            self._events.append(self._next())

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._read], [], [], _PATIENCE)[0], f"the browser said nothing for {_PATIENCE} s"
            received = os.read(self._read, 1 << 20)
            assert received, "the browser is gone"
            self._rest += received
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)
