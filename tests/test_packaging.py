"""One set of versions: pyproject's ranges, the two locks and the conda environment say the same."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# mediapipe 0.10.21 declares numpy<2, so pip would refuse a lock that has it; these come and go with it
WITH_MEDIAPIPE = {"mediapipe", "absl-py", "flatbuffers", "protobuf"}


def pins(name: str) -> dict[str, Version]:
    """The versions of a lock, those included that one system alone installs (`name==version;marker`)."""
    lines = [line.partition(";")[0] for line in (ROOT / name).read_text(encoding="utf-8").split()]
    return {canonicalize_name(pin): Version(version) for pin, version in (line.split("==") for line in lines)}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [
        Requirement(text)
        for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    ]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_lock_lies_inside_the_ranges(requirement):
    assert pins("requirements.lock")[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_conda_lock_is_the_lock_without_mediapipe():
    lock = pins("requirements.lock")
    assert pins("requirements-conda.lock") == {name: lock[name] for name in lock.keys() - WITH_MEDIAPIPE}


SYSTEMS = {
    "Linux": {"platform_system": "Linux", "sys_platform": "linux", "os_name": "posix"},
    "Windows": {"platform_system": "Windows", "sys_platform": "win32", "os_name": "nt"},
    "macOS": {"platform_system": "Darwin", "sys_platform": "darwin", "os_name": "posix"},
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_lock_holds_all_that_its_packages_need(system):
    """It is installed without looking at needs, so nothing may be missing, on no system."""
    here = Version(metadata.version("numpy"))
    installed = [
        name for name in ("requirements.lock", "requirements-oldest.lock") if pins(name)["numpy"] == here
    ]
    if not installed:
        pytest.skip("another set of versions is installed")
    texts = (ROOT / installed[0]).read_text(encoding="utf-8").split()
    where = {"python_version": "3.11", "python_full_version": "3.11.0", "extra": "", **SYSTEMS[system]}
    lock = {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in map(Requirement, texts)
        if one.marker is None or one.marker.evaluate(where)
    }
    wanting = []
    for name in lock:
        try:
            needs = map(Requirement, metadata.requires(name) or [])
        except metadata.PackageNotFoundError:
            continue  # of another system
        wanting += [
            f"{name} needs {need}"
            for need in needs
            if (need.marker is None or need.marker.evaluate(where))
            and not re.match(
                "nvidia-|triton|cuda-", need.name
            )  # of the build of torch; the installer adds them
            and lock.get(canonicalize_name(need.name), "0") not in need.specifier
        ]
    assert {line.split()[0] for line in wanting} <= {"mediapipe"}, wanting


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-oldest.lock"])
def test_only_one_opencv_is_locked(lock):
    # two cv2 wheels overwrite each other silently
    assert [name for name in pins(lock) if name.startswith("opencv")] == ["opencv-python"]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_oldest_lock_holds_the_least_that_each_range_allows(requirement):
    (least,) = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
    (locked,) = [
        one for name, one in pins("requirements-oldest.lock").items() if name == requirement.name.lower()
    ]
    assert locked in requirement.specifier
    assert locked == least


def test_the_oldest_lock_has_mediapipe_as_the_lock_has_it():
    lock, oldest = pins("requirements.lock"), pins("requirements-oldest.lock")
    assert {name: oldest[name] for name in WITH_MEDIAPIPE} == {name: lock[name] for name in WITH_MEDIAPIPE}


def test_tests_of_a_group_run_in_one_process(tmp_path):
    """What `make test` counts on: a server or a set that several tests share is there once."""
    (tmp_path / "test_some.py").write_text(
        "import os\nfrom pathlib import Path\nimport pytest\n\n"
        "@pytest.mark.xdist_group('one')\n@pytest.mark.parametrize('number', range(8))\n"
        "def test_some(number):\n    (Path(__file__).parent / os.environ['PYTEST_XDIST_WORKER']).touch()\n"
    )
    options = f"-q -c {os.devnull} -p no:cacheprovider -n 2 --dist loadgroup --rootdir"
    command = [sys.executable, "-m", "pytest", *options.split(), tmp_path, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob("gw*"))) == 1


def test_the_environment_file_is_python_pip_and_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert re.fullmatch(r"python=3\.11", python)
    assert Version("3.11") in Requirement(f"python{PROJECT['requires-python']}").specifier
    for name in pins("requirements-conda.lock"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            assert Version("3.11.14") in SpecifierSet(metadata.metadata(name).get("Requires-Python", "")), (
                name
            )
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements-conda.lock", "-e ."]}


def test_no_file_names_a_package_host_or_a_local_path():
    locks = ("requirements.lock", "requirements-conda.lock", "requirements-oldest.lock")
    for name in (*locks, "environment.yml", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"file://|--index|--find-links|https?://(?!creativecommons)|\+cpu", text), name


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["reproduce", "test", "lab", "explore", "bench", "lint", "oldest"])
def test_every_target_of_the_makefile_is_there(target):
    done = subprocess.run(
        ["make", "-n", target, f"PYTHON={sys.executable}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_installer_passes_pips_settings_on(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import install

    listed = (
        f":env:.find-links='{tmp_path}'\nglobal.index-url='https://mirror.example/simple'\n"
        f"global.extra-index-url='file://{tmp_path} file:///not/there'\nglobal.timeout='60'\n"
    )
    answer = subprocess.CompletedProcess([], 0, stdout=listed)
    monkeypatch.setattr(install.subprocess, "run", lambda *a, **k: answer)
    for name in install.SOURCES:
        monkeypatch.delenv(name, raising=False)
    settings = install.pip_settings(Path(sys.executable))
    assert settings["UV_FIND_LINKS"] == str(tmp_path)
    assert settings["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert settings["UV_INDEX"] == f"file://{tmp_path}"


@pytest.mark.parametrize(
    ("chosen", "settings", "backend"),
    [
        ("", {}, ["--torch-backend", "cpu"]),
        ("", {"UV_FIND_LINKS": "/somewhere"}, []),
        ("cu128", {"UV_FIND_LINKS": "/somewhere"}, ["--torch-backend", "cu128"]),
        ("default", {}, []),
    ],
)
def test_the_build_of_torch_is_the_users_choice(monkeypatch, chosen, settings, backend):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import install

    monkeypatch.setenv("TORCH", chosen)
    for name in install.SOURCES:
        monkeypatch.delenv(name, raising=False)
    assert install.torch_backend(settings) == backend
