"""The datasets by name: what is described in `data_manifests/`, where it lies, and how it is loaded.

Licensed data is looked for in `root`, else where the environment variable `MESPOT_<NAME>` says, else in
`<data root>/<name>`. Synthetic data is drawn into `<data root>/<name>` on first use, and drawn again when the generator
has changed.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from mespot_lib import places
from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.build import dataset_facts, described_datasets
from mespot_lib.manifest import DatasetError, Manifest, half_windows


def dataset_root(name: str) -> Path:
    """Return where a dataset lies, or would lie: `MESPOT_<NAME>`, else `<data root>/<name>`."""
    value = os.environ.get(f"MESPOT_{name.upper()}")
    return Path(value).expanduser().resolve() if value else places.data_root() / name


def load_dataset(
    name: str, root: str | Path | None = None, policy: str | None = None, draw: bool = True
) -> Manifest:
    """Return the manifest of a dataset of the catalogue.

    Parameters
    ----------
    name : `casme2`, `synthetic_casme2`, ...; see `described_datasets`.
    root : folder of the data, by default `dataset_root(name)`.
    policy : fix policy, by default the one of the descriptor.
    draw : draw a synthetic dataset that is not there or is out of date.

    Raises
    ------
    DatasetError
        If the name is unknown; if the data is not there, with where to put it and how to ask for it; if drawn data
        stands where recorded data belongs, or the reverse; and as `read_dataset`.
    """
    facts = dataset_facts(name)
    root = Path(root) if root is not None else dataset_root(name)
    if facts["synthetic"]:
        _ensure_drawn(name, root, draw)
    elif not root.is_dir():
        raise DatasetError(_how_to_get(facts, root))
    return read_dataset(facts["layout"], root, policy or facts["fix_policy"], name=name)


def read_folder(name: str, root: str | Path, policy: str | None = None, fps: float | None = None) -> Manifest:
    """Return the manifest of any folder in the layout of the dataset `name`; nothing is drawn.

    fps : frames per second, where they are other than usual, or the files do not tell.

    A drawn folder goes by the name it was drawn under, a recorded one by the name of its layout, whichever was asked.
    """
    facts = dataset_facts(name)
    options: dict[str, Any] = {} if fps is None else {"fps": fps}
    return read_dataset(facts["layout"], root, policy or facts["fix_policy"], **options)


def expected_counts(manifest: Manifest) -> pd.DataFrame:
    """Return the counts of a manifest beside those known from papers and copies: `count, found, expected, agrees`.

    `expected` lists every value that is right for some copy of the dataset; it is empty, and `agrees` null, where
    nothing is known.
    """
    name = manifest.descriptor["dataset"]
    facts = dataset_facts(name) if name in described_datasets() else {"expected": {}, "half_window": {}}
    windows = {f"half_window_{kind}": value for kind, value in half_windows(manifest).items()}
    known = facts["expected"] | {
        f"half_window_{kind}": values for kind, values in facts["half_window"].items()
    }
    rows = [
        {
            "count": count,
            "found": found,
            "expected": " or ".join(map(str, known.get(count, []))),
            "agrees": found in known[count] if count in known else pd.NA,
        }
        for count, found in (manifest.counts() | windows).items()
    ]
    return pd.DataFrame(rows).astype({"agrees": "boolean", "found": "Int64"})


def counts_text(manifest: Manifest) -> str:
    """Return `expected_counts` for the terminal, one count per line.

    Copies differ, so a count may be one of several that are known: `videos 98, one of the known 87, 95, 97, 98`.
    """
    table = expected_counts(manifest)
    names, numbers = list(table["count"]), ["-" if pd.isna(n) else str(n) for n in table["found"]]
    widths = max(map(len, ("count", *names))), max(map(len, ("found", *numbers)))
    lines = [f"{'count':<{widths[0]}}  {'found':>{widths[1]}}"]
    for name, number, expected, agrees in zip(
        names, numbers, table["expected"], table["agrees"], strict=True
    ):
        known = expected.replace(" or ", ", ")
        several = "one of the known" if "," in known else "as known:"
        remark = "" if pd.isna(agrees) else f"  {several if agrees else 'NOT as known:'} {known}"
        lines.append(f"{name:<{widths[0]}}  {number:>{widths[1]}}{remark}")
    return "\n".join(lines)


def _ensure_drawn(name: str, root: Path, draw: bool) -> None:
    from mespot_lib.synthetic.write import draw_dataset, is_drawn, synthetic_config

    if draw:
        draw_dataset(name, root, workers=min(2, os.cpu_count() or 1))
    elif not is_drawn(synthetic_config(name), root):
        raise DatasetError(f"{root}: {name} is not drawn yet, or out of date; run `mespot synth {name}`")


def _how_to_get(facts: dict[str, Any], root: Path) -> str:
    lines = [
        f"{facts['title']} is not at {root}.",
        *facts["request"],
        "Expected there:",
        *(f"  {line}" for line in facts["tree"]),
    ]
    return "\n".join(lines)
