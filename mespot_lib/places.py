"""Where things stand on disk: the repository, its data, its feature cache and its reports.

Every path of the project comes from here, so a notebook finds the same folders whether papermill starts it in the
repository, nbval in `notebooks/`, or a worker process somewhere else.
"""

import os
from pathlib import Path


def repository_root() -> Path:
    """Return the folder that holds `notebooks/` and `data_manifests/`.

    The folder of the installed (editable) package is tried first, then the working directory and its parents.

    Raises
    ------
    FileNotFoundError
        If none of them is a checkout of the project.
    """
    for folder in (Path(__file__).resolve().parents[1], Path.cwd(), *Path.cwd().parents):
        if (folder / "data_manifests").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise FileNotFoundError(
        "no mespot checkout found: start in a folder of the repository (the one with notebooks/ and data_manifests/)"
    )


def data_root() -> Path:
    """Return the folder of the datasets: `MESPOT_DATA`, else `data/` of the repository."""
    return _place("MESPOT_DATA", "data")


def cache_root() -> Path:
    """Return the folder of the cached features: `MESPOT_CACHE`, else `data/cache/` of the repository."""
    return _place("MESPOT_CACHE", "data/cache")


def reports_root() -> Path:
    """Return the folder of results and reports: `MESPOT_REPORTS`, else `reports/` of the repository."""
    return _place("MESPOT_REPORTS", "reports")


def _place(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser().resolve() if value else repository_root() / default
