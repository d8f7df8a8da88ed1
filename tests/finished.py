"""Finished runs of invented methods on people without pictures, for tests of what is made of many runs."""

import json
from pathlib import Path

from toy import people_manifest

from mespot_lib import runs
from mespot_lib.interval import Interval

EVENTS = (("ME", 10, 19), ("MaE", 40, 79), ("ME", 120, 131), ("MaE", 150, 189))
TRUE = tuple(Interval(onset, offset, kind) for kind, onset, offset in EVENTS)
LENGTH = 300


def finish(reports: Path, people, fold: str, spans=(), events=EVENTS, record=None, **changes) -> Path:
    """Store a finished run of one fold, `spans` spotted; `record` changes what is stored, the rest what is run."""
    given = {"method": "tiny", "dataset": "toy", "profile": "quick", "seed": 0} | changes
    record = {"seconds": 2.0, "finished": "2020-01-01T00:00:00+00:00", "parameters": {}} | (record or {})
    versions = {"code_version": "a" * 12, "key": "0" * 12}
    name = f"{fold}-{record.get('key', versions['key'])}-{given['seed']}"
    folder = Path(reports) / "runs" / given["dataset"] / given["method"] / name
    manifest = people_manifest(people, events, LENGTH)
    runs.store_result(folder, fold=fold, manifest=manifest, spotted={f"toy/{fold}/v": list(spans)}, **given)
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | versions | record))
    return folder


def some_found(method: int, person: int) -> list[Interval]:
    """Return what an invented method finds of a person: the higher its number the more, and some that is not there."""
    found = [span for i, span in enumerate(TRUE) if (person * 7 + i * 5 + method * 3) % (method + 2)]
    return found + [Interval(220 + 9 * i, 226 + 9 * i, "ME") for i in range((person + method) % 3)]


def many(reports: Path, methods: int = 5, datasets: int = 1, people: int = 100) -> list[str]:
    """Store every fold of invented methods on datasets of so many people; return the names of the people."""
    names = [f"s{i:03d}" for i in range(people)]
    # a manifest of one person each is quickly made; what the runs must have in common is put in afterwards
    common = {"n_folds": people, "manifest_digest": "f" * 64}
    for dataset in range(datasets):
        for method in range(methods):
            for person, name in enumerate(names):
                run = {"method": f"m{method}", "dataset": f"toy{dataset}"}
                finish(reports, [name], name, some_found(method, person), record=common, **run)
    return names
