"""What the project does beside what a user would do instead and beside the limit: ratios, memory, growth.

    .venv/bin/python tools/bench.py                       # all of it, some ten minutes on one core: `make bench`
    .venv/bin/python tools/bench.py flow scoring          # some of it
    .venv/bin/python tools/bench.py --tiny --to FOLDER    # everything once on tiny inputs, to see that it works
    .venv/bin/python tools/bench.py inference_stsnet --profile paper --device cuda

Both sides of a case are timed in one process in turns, so a busy machine slows both; the table tells ratios, medians of
several rounds. Each benchmark runs in a process of its own and writes reports/benchmarks/<benchmark>.json, described by
tools/benchmarks/record.schema.json; the figure and the table of the README are made of these files.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "reports" / "benchmarks"
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)
# benchmark -> module and function that yields its cases
BENCHMARKS = {
    "reading": ("reading", "entries"),
    "tracking": ("spotting", "tracking"),
    "contrast": ("features", "contrast"),
    "flow": ("features", "flow"),
    "cache": ("features", "cache"),
    "spotting": ("spotting", "entries"),
    "inference_3dcnn": ("methods", "frame_skip_3dcnn"),
    "inference_mesnet": ("methods", "mesnet"),
    "inference_stsnet": ("methods", "stsnet"),
    "inference_i3d_bifpn": ("methods", "i3d"),
    "training": ("methods", "training"),
    "fitting": ("methods", "fitting"),
    "scoring": ("scoring", "entries"),
    "manifest": ("running", "reading_a_dataset"),
    "starting": ("running", "starting"),
    "sweeping": ("running", "sweeping"),
}


def run_one(name: str, place: Path, folder: Path, tiny: bool, rounds: int, profile: str, device: str) -> None:
    """Run a benchmark in this process and write its record."""
    # the plain evaluators and blank trees of the tests are the second side of some
    sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]
    import importlib

    import cv2
    from benchmarks import measure

    cv2.setNumThreads(1)
    module, function = BENCHMARKS[name]
    entries = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    if module == "methods":
        from benchmarks.methods import Setting

        entries = partial(entries, setting=Setting(profile, device))
    measure.write(folder, name, tiny, measure.measured(entries(place, tiny), rounds))


def main(words: list[str] | None = None) -> int:
    """Run benchmarks one after the other, show their table and draw the figure; return how many have failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmarks", nargs="*", metavar="benchmark", help=", ".join(BENCHMARKS))
    parser.add_argument("--tiny", action="store_true", help="tiny inputs, one round: figures without meaning")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each case")
    parser.add_argument("--profile", default="quick", choices=("quick", "paper"), help="of the networks")
    parser.add_argument("--device", default="cpu", help="of the networks")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of the records")
    parser.add_argument("--place", type=Path, help="folder that keeps the drawn videos for another time")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(words)
    names = chosen.benchmarks or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}")
    rounds = 1 if chosen.tiny else chosen.rounds
    if chosen.here:
        run_one(names[0], chosen.place, chosen.to, chosen.tiny, rounds, chosen.profile, chosen.device)
        return 0
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        place = chosen.place or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            if _in_a_process_of_its_own(name, chosen, rounds, place):
                failed.append(name)
    sys.path.insert(0, str(ROOT / "tools"))
    from benchmarks import shown

    records = shown.read_records(chosen.to)
    print(shown.text(records))
    shown.draw(records, chosen.to / "benchmarks.png")
    print(f"failed: {', '.join(failed)}" if failed else f"written to {_short(chosen.to)}")
    return len(failed)


def _in_a_process_of_its_own(name: str, chosen: argparse.Namespace, rounds: int, place: Path) -> int:
    command = [sys.executable, __file__, name, "--here", "--place", str(place), "--to", str(chosen.to)]
    command += ["--rounds", str(rounds), "--profile", chosen.profile, "--device", chosen.device]
    command += ["--tiny"] if chosen.tiny else []
    folders = {"MESPOT_DATA": str(place / "data"), "MESPOT_CACHE": str(place / "cache")}
    return subprocess.run(command, env=os.environ | ONE_THREAD | folders).returncode


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
