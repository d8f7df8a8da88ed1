"""Create or refresh `.venv` from requirements.lock: the step behind every make target. Standard library only.

    tools/install.py [VENV LOCK]    another environment from another lock, as for `make oldest`

uv installs the lock in seconds, without dependency resolution, because the lock is complete and one of its packages
(mediapipe) declares needs that it does not have. uv does not read pip's settings, so whatever the user has set for
pip (index, extra index, find-links, certificate) is passed on to it.

    TORCH=cpu | cu126 | cu128 | ... | default    which build of torch; see the README for their sizes
"""

import ctypes.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = "uv==0.13.8"
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
SOURCES = {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"}
SYSTEM_LIBRARIES = {
    "GL": "libgl1",
    "glib-2.0": "libglib2.0-0",
}  # what the OpenCV wheel links to -> Debian package


def main(folder: str = ".venv", lock: str = "requirements.lock") -> None:
    place = ROOT / folder
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        create_venv(place)
    run(python, "-m", "pip", "install", "--quiet", UV)
    settings = pip_settings(python)
    install(python, "--no-deps", "-r", lock, settings=settings)
    # What the chosen build of torch needs beyond the lock: the libraries of CUDA, or nothing.
    install(python, "--override", lock, "torch", settings=settings)
    install(python, "--no-deps", "--no-build-isolation", "-e", ".", settings=settings)
    install_system_libraries()
    run(python, "-c", "import cv2, torch")
    (place / ".ready").touch()


def create_venv(place: Path) -> None:
    try:
        venv.create(place, with_pip=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(place, ignore_errors=True)
        sys.exit(
            "the venv module cannot install pip here; on Debian and Ubuntu: apt-get install python3-venv"
        )


def pip_settings(python: Path) -> dict[str, str]:
    """Return the user's pip settings as uv's environment variables; local folders that do not exist are left out."""
    listed = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        variable = PIP_TO_UV.get(key.rsplit(".", 1)[-1])
        entries = [entry for entry in value.strip("'\"").replace("\\n", " ").split() if reachable(entry)]
        if variable and entries:
            settings[variable] = (",".join if variable == "UV_FIND_LINKS" else " ".join)(entries)
    settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip treats all its indexes alike
    return {name: value for name, value in settings.items() if name not in os.environ}


def reachable(entry: str) -> bool:
    if entry.startswith(("http://", "https://")):
        return True
    return Path(entry.removeprefix("file://")).exists()


def torch_backend(settings: dict[str, str]) -> list[str]:
    """Choose the build of torch: the user's word, else what his package source offers, else the small CPU build."""
    choice = os.environ.get("TORCH") or ("default" if SOURCES & {*settings, *os.environ} else "cpu")
    return [] if choice == "default" else ["--torch-backend", choice]


def install(python: Path, *arguments: str, settings: dict[str, str]) -> None:
    command = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    environment = {**os.environ, **settings}
    backend = torch_backend(settings)
    done = subprocess.run([*command, *backend, *arguments], cwd=ROOT, env=environment)
    if done.returncode and backend and not os.environ.get("TORCH"):
        # The CPU builds live on an index of their own; where it is out of reach the common index serves.
        done = subprocess.run([*command, *arguments], cwd=ROOT, env=environment)
    if done.returncode:
        sys.exit(f"installing {' '.join(arguments)} failed (see above)")


def install_system_libraries() -> None:
    """Install what the OpenCV wheel needs from Debian, where that is missing and we may; say it where we may not."""
    if not sys.platform.startswith("linux"):
        return
    missing = [
        package for library, package in SYSTEM_LIBRARIES.items() if not ctypes.util.find_library(library)
    ]
    if not missing:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
    else:
        print(f"OpenCV may need system libraries: apt-get install {' '.join(missing)}", file=sys.stderr)


def run(*command: str | Path) -> None:
    if subprocess.run(command, cwd=ROOT).returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
