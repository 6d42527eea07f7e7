"""Start the app where it may reach this machine only, visit every page, ask a question, and say what tried to leave.

    unshare -n python -m tests.app.offline_visit FOLDER      # or without `unshare -n`; prints one JSON object

In a namespace of its own nothing can leave, as it has no route. In any case an audit hook (PEP 578) in the app's Python
writes down and refuses each name that is looked up and each connection that is opened elsewhere, and the browser tells
what the pages ask for.
"""

import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from scripts import scenes
from scripts.stage import browsing, serving

PAGES = ("/annotate", "/review", "/data", "/train", "/models", "/account")
HOOK = """
import ipaddress, os, sys

def is_here(host):
    try:
        here = (None, "", b"", "localhost", "0.0.0.0", "::")
        return host in here or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

def refuse(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not is_here(host):
        with open(os.environ["TEMPO_ATTEMPTS"], "a") as file:
            file.write(f"{event} {host}\\n")
        raise OSError(101, f"{host} may not be reached in this test")

sys.addaudithook(refuse)
"""
"""As `sitecustomize` it runs before anything else of a Python process."""


def raise_loopback() -> None:
    """A new network namespace has the loopback device, but it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(control, 0x8913, name))[1]  # SIOCGIFFLAGS
        fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", flags | 1))  # SIOCSIFFLAGS, IFF_UP


def interfaces() -> list[str]:
    """The names of the network devices that this process sees."""
    return sorted(name for _, name in socket.if_nameindex())


def hooked_environment(folder: Path) -> dict[str, str]:
    """What makes a Python process write its attempts to `folder`/attempts."""
    (folder / "sitecustomize.py").write_text(HOOK)
    return {"PYTHONPATH": str(folder), "TEMPO_ATTEMPTS": str(folder / "attempts")}


def visit(folder: Path) -> dict[str, Any]:
    """Devices, what the app tried to reach, what pages asked of others, and the model's answer."""
    if interfaces() == ["lo"]:
        raise_loopback()
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):  # what people do not set either
        os.environ.pop(name, None)
    os.environ.update(hooked_environment(folder))
    requests: list[str] = []
    with serving() as served, browsing() as browser:
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        scenes.ground_answered(page, served)
        answer = page.locator("#ground-result").inner_text()
        for path in PAGES:
            page.goto(f"{served.url}{path}", wait_until="load")
            page.wait_for_timeout(1000)
        away = [url for url in requests if not url.startswith((served.url, "data:", "blob:"))]
    attempts = folder / "attempts"
    return {
        "interfaces": interfaces(),
        "attempts": attempts.read_text().splitlines() if attempts.exists() else [],
        "away": away,
        "requests": len(requests),
        "answer": answer,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(visit(Path(sys.argv[1]))) + "\n")
