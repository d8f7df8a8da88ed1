"""The threshold explorer as a page of its own, served by Voila.

Voila runs a notebook of one cell in a folder of its own, shows what the cell displays and no code, and lets the page
talk to the widgets but execute nothing. No file is served, nothing can be uploaded. On this machine alone anybody may
look; opened to others, the page asks for a token.
"""

import importlib.util
import ipaddress
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mespot_lib import places

_LARGEST_MESSAGE = 1_000_000  # bytes from the page; the state of a slider has a few hundred
_IDLE_S = 3600  # a page nobody looks at any more is given up after an hour


class PageError(ValueError):
    """A page that cannot be served; the message says why."""


def is_local(host: str) -> bool:
    """Return whether an address is reached from this machine alone.

    >>> is_local("127.0.0.1"), is_local("localhost"), is_local("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def default_reports() -> Path:
    """Return the folder of one's own runs if there are any, else that of the reference results."""
    own = places.reports_root()
    found = any(path.parts[-4] != "failed" for path in (own / "runs").glob("*/*/*/result.json"))
    return own if found else places.repository_root() / "reports" / "reference"


def page_notebook(reports: Path) -> dict[str, Any]:
    """Return a notebook of one cell that shows the explorer of a folder of reports."""
    source = f"from mespot_lib.explore import explorer\n\nexplorer({str(reports.resolve())!r})"
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "explorer",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def settings(host: str, port: int, token: str, browser: bool) -> dict[str, Any]:
    """Return Voila's settings: no source, no traceback, no file; strangers' host names are refused on this machine."""
    tornado = {
        "websocket_max_message_size": _LARGEST_MESSAGE,
        "allow_remote_access": not is_local(host),
    }
    nothing = "(?!)"  # a pattern that nothing matches
    return {
        "Voila": {
            "ip": host,
            "port": port,
            "port_retries": 0,
            "token": token,
            "open_browser": browser,
            "log_level": "WARN",
            "tornado_settings": tornado,
        },
        "VoilaConfiguration": {
            "strip_sources": True,
            "show_tracebacks": False,
            "file_allowlist": [nothing],
            "file_denylist": [".*"],
        },
        "MappingKernelManager": {"cull_idle_timeout": _IDLE_S, "cull_interval": 60},
    }


@contextmanager
def reserved_port(host: str, first: int) -> Iterator[int]:
    """Give the first free port from `first` on, which no other explorer takes while the block runs.

    Voila listens seconds after it was started. Of two explorers started together, the second would find the same port
    free, end for want of it, and its page would be served by the first.

    Raises
    ------
    PageError
        If the address is not one of this machine's, or no port is free.
    """
    user = os.environ.get("USER", os.environ.get("USERNAME", ""))  # unlike `getpass.getuser`, never fails
    for port in range(first, min(first + 50, 65536)):
        lock = FileLock(Path(tempfile.gettempdir()) / f"mespot-explore-{user}-{port}.lock")
        try:
            lock.acquire(blocking=False)
        except (Timeout, PermissionError):  # another explorer's, or another user's
            continue
        try:
            if is_free(host, port):
                yield port
                return
        finally:
            lock.release()
    raise PageError(f"no port is free on {host} from {first} on; choose another one with --port")


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens on a port.

    Raises
    ------
    PageError
        If the address is not one of this machine's.
    """
    try:
        with socket.create_server((host, port), reuse_port=False):
            return True
    except OSError as error:
        if not isinstance(error, PermissionError) and "in use" not in str(error):
            raise PageError(f"cannot serve on {host}: {error}") from None
    return False


@contextmanager
def served(
    reports: Path, host: str = "127.0.0.1", port: int = 8866, browser: bool = False
) -> Iterator[tuple[subprocess.Popen, str]]:
    """Serve the explorer of a folder of reports while the block runs; give Voila's process and the address.

    Raises
    ------
    PageError
        If Voila is not installed, or as `reserved_port`.
    """
    if importlib.util.find_spec("voila") is None:
        raise PageError("the page needs Voila: pip install 'mespot[explore]'")
    token = "" if is_local(host) else secrets.token_urlsafe(24)
    scratch_folder = tempfile.TemporaryDirectory(prefix="mespot-explore-", ignore_cleanup_errors=True)
    with reserved_port(host, port) as port, scratch_folder as scratch:
        folder = Path(scratch)  # only its owner may look into it, so the token is safe there
        (folder / "page").mkdir()
        (folder / "page" / "explorer.ipynb").write_text(json.dumps(page_notebook(reports)), encoding="utf-8")
        (folder / "voila.json").write_text(json.dumps(settings(host, port, token, browser)), encoding="utf-8")
        known = os.environ.get("PYTHONPATH")
        environment = os.environ | {
            "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this interpreter
            "PYTHONPATH": os.pathsep.join([str(places.repository_root()), *([known] if known else [])]),
        }
        command = [sys.executable, "-m", "voila", "page/explorer.ipynb"]
        process = subprocess.Popen(command, cwd=folder, env=environment)
        try:
            yield process, f"http://{host}:{port}/" + (f"?token={token}" if token else "")
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
