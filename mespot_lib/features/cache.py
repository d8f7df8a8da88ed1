"""Computed arrays on disk, found again by video and recipe.

    arrays = cached_arrays(video, {"name": "nose_flow", "size": 128, "method": "dis"}, compute)

An entry is `<cache>/<video>/<name>-<key>.npz`, with the recipe beside it as `.json`. The key covers the video (its name
and what its files hold), the recipe and `FEATURE_VERSION`, so a redrawn dataset or changed code finds no stale entry.
An entry is written under a temporary name and renamed, so a killed process leaves no half-written one; of two processes
that want the same entry, one computes it and the other waits.
"""

import hashlib
import json
import os
import re
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from mespot_lib import face
from mespot_lib.manifest import Video
from mespot_lib.places import cache_root

# Raise it when code behind a recipe changes what it computes.
FEATURE_VERSION = 4


class CacheError(ValueError):
    """The cache folder cannot be used; the message says how to choose another."""


class CacheWarning(UserWarning):
    """A cached entry was damaged and is computed again."""


def cached_arrays(
    video: Video,
    recipe: Mapping,
    compute: Callable[[], Mapping[str, np.ndarray]],
    root: Path | None = None,
    *,
    mapped: bool = False,
) -> dict[str, np.ndarray]:
    """Return the arrays of `recipe` for `video`, from the cache or from `compute()`.

    recipe : JSON-able settings, all that the result depends on besides the video; its `name` is readable in the file
        name
    compute : called without arguments if there is no good entry; returns arrays by name
    root : cache folder; default `mespot_lib.places.cache_root()`
    mapped : return the arrays mapped from disk, read-only, for what is larger than memory

    Raises
    ------
    CacheError
        If the cache folder cannot be written to, or the recipe is not JSON-able. What `compute` raises passes through,
        and leaves no entry.
    """
    entry = entry_path(video, recipe, root)
    if (arrays := _load(entry, mapped)) is not None:
        return arrays
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{entry}.lock")
        lock.acquire()
    except OSError as error:
        raise _unusable(entry, error) from error
    try:
        if (arrays := _load(entry, mapped, warn=True)) is None:
            arrays = dict(compute())
            _store(entry, arrays, recipe)
            if mapped:
                arrays = _map(entry)
        return arrays
    finally:
        lock.release()


def cached_of_face(
    video: Video,
    name: str,
    recipe: Any,
    compute: Callable[[], Mapping[str, np.ndarray]],
    *,
    mapped: bool = False,
) -> dict[str, np.ndarray]:
    """Return the arrays of a feature of the face, as `cached_arrays` does.

    recipe : dataclass of plain values with a field `landmarks`; of "auto" the key has the detector that it stands for,
        so what one detector measured is not taken for what another would measure
    """
    backend = face.available_backend() if recipe.landmarks == "auto" else recipe.landmarks
    described = {"name": name, **asdict(recipe), "landmarks": backend}
    return cached_arrays(video, described, compute, mapped=mapped)


def entry_path(video: Video, recipe: Mapping, root: Path | None = None) -> Path:
    """Return the file of an entry; see the module's first lines."""
    described = {
        "video": video.uid,
        "media": media_digest(video),
        "recipe": recipe,
        "version": FEATURE_VERSION,
    }
    key = hashlib.sha256(_canonical(described).encode()).hexdigest()[:16]
    name = _file_name(str(recipe.get("name", "features")))
    folder = Path(cache_root() if root is None else root).joinpath(*map(_file_name, video.uid.split("/")))
    return folder / f"{name}-{key}.npz"


def media_digest(video: Video) -> str:
    """Return a digest of what a video's files hold: names and sizes of all, the bytes of a few, and the side file.

    It does not depend on where the files lie or when they were copied.
    """
    digest = hashlib.sha256(f"{video.first_frame_no} {video.last_frame_no} {video.missing}".encode())
    path = Path(video.path)
    if path.is_dir():
        files = sorted((entry.name, entry.stat().st_size) for entry in os.scandir(path) if entry.is_file())
        digest.update(repr(files).encode())
        samples = {files[i * (len(files) - 1) // 4][0] for i in range(5)} if files else ()
        parts = [path / name for name in sorted(samples)]
    else:
        parts = [path]
    if video.landmarks is not None:
        parts.append(Path(video.landmarks))
    for part in parts:
        digest.update(_ends(part))
    return digest.hexdigest()


def _ends(path: Path, length: int = 1 << 20) -> bytes:
    """Return size, first and last MiB of a file; of an absent one only the name, so that reading it reports it."""
    if not path.is_file():
        return f"{path.name} is absent".encode()
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(length)
        file.seek(max(len(head), size - length))
        return str(size).encode() + head + file.read()


def _canonical(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise CacheError(f"a recipe holds plain JSON values only: {error}: {value!r}") from error


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip(".") or "_"


def _load(entry: Path, mapped: bool, warn: bool = False) -> dict[str, np.ndarray] | None:
    if not entry.exists():
        return None
    try:
        if mapped:
            return _map(entry)
        with np.load(entry, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # zipfile, zlib, numpy and OS errors, by the kind of damage
        if warn:
            warnings.warn(
                f"the cached file {entry} is damaged and computed again: {error}", CacheWarning, stacklevel=3
            )
        return None


def _map(entry: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an entry mapped from disk: its parts are stored in the archive as they are."""
    arrays = {}
    with zipfile.ZipFile(entry) as archive, entry.open("rb") as file:
        if archive.testzip() is not None:
            raise ValueError("a checksum is wrong")
        for part in archive.infolist():
            file.seek(part.header_offset + 26)
            name_length, extra_length = struct.unpack("<HH", file.read(4))
            file.seek(name_length + extra_length, os.SEEK_CUR)
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            name = part.filename.removesuffix(".npy")
            arrays[name] = (
                np.memmap(entry, dtype, "r", file.tell(), shape) if 0 not in shape else np.empty(shape, dtype)
            )
    return arrays


def _store(entry: Path, arrays: Mapping[str, np.ndarray], recipe: Mapping) -> None:
    try:
        # Whoever left one of these has been killed: we hold the lock.
        for leftover in entry.parent.glob(f"{entry.stem}.*.tmp"):
            leftover.unlink()
        _replace(
            entry.with_suffix(".json"), lambda file: file.write(json.dumps(dict(recipe), indent=1).encode())
        )
        _replace(entry, lambda file: np.savez(file, allow_pickle=False, **arrays))
    except OSError as error:
        raise _unusable(entry, error) from error


def _replace(path: Path, write: Callable) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f"{path.stem}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _unusable(entry: Path, error: OSError) -> CacheError:
    return CacheError(
        f"the cache cannot be written: {entry.parent}: {error.strerror or error}. "
        "Set the environment variable MESPOT_CACHE to a folder with room that you may write to"
    )
