"""Readers: one file per dataset layout. Each finds the files, reads the workbook and returns a manifest.

    folders.py      frame folders and their names        workbook.py     workbooks, cells, action units
    fixes.py        named fix policies                   build.py        folders + labels + policy -> manifest
    casme2.py       CAS(ME)^2                            samm_lv.py      SAMM Long Videos
    smic_e.py       SMIC-E and SMIC-E-Long               fourdme.py      4DME, micro release
    casme3.py       CAS(ME)^3, parts A and C             megc_unseen.py  unseen test sets of MEGC2022 and 2023
    own_video.py    any video file or frame folder

Licensed and drawn data go through the same code; what is drawn is known by the marker file at its root alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mespot_lib.datasets import casme2, casme3, fourdme, megc_unseen, own_video, samm_lv, smic_e
from mespot_lib.manifest import DatasetError, Manifest

LAYOUTS: dict[str, Callable[..., Manifest]] = {
    "casme2": casme2.read,
    "casme3_a": casme3.read_a,
    "casme3_c": casme3.read_c,
    "fourdme": fourdme.read,
    **megc_unseen.READERS,
    "own_video": own_video.read,
    "samm_lv": samm_lv.read,
    "smic_e": smic_e.read,
    "smic_e_long": smic_e.read_long,
}


def read_dataset(
    layout: str,
    root: str | Path,
    policy: str = "official_baseline",
    *,
    name: str | None = None,
    **options: Any,
) -> Manifest:
    """Return the manifest of the dataset at `root`.

    Parameters
    ----------
    layout : name in `LAYOUTS`: how files and workbook are laid out.
    policy : name of the fix policy, see `mespot_lib.datasets.fixes`.
    name : the dataset's name in uids and results; by default the layout's, with `synthetic_` before it if drawn.
    options : passed to the reader of the layout, see its `read`.

    Raises
    ------
    DatasetError
        If the folder, a workbook, a sheet or a cell breaks a rule; the message names file, sheet, row and rule.
    """
    if layout not in LAYOUTS:
        raise DatasetError(f"layout {layout!r} is unknown; it must be one of {', '.join(LAYOUTS)}")
    return LAYOUTS[layout](Path(root), policy, name=name, **options)
