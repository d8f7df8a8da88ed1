"""What every benchmark shares: two sides timed in turns, the memory each takes, how both grow, and the record of it.

A figure of time alone says more about the machine than about the code. So each case has a second side, timed in the
same process in turns with ours, and what is told is the ratio; where there is a limit that no program passes, it is
timed too. The clock is the processor's, this process and its children together, which other programs disturb least;
where something waits (kernels, workers) it is the clock on the wall.
"""

import gc
import json
import math
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], Any]

PACKAGES = ("numpy", "scipy", "pandas", "opencv-python", "torch", "av", "scikit-image", "mediapipe")
FLAGS = ("avx", "avx2", "avx512f", "fma", "neon")  # of a processor, what numpy, OpenCV and torch make use of
_SHORTEST_S = 0.05  # a call that takes less is repeated until it has taken so long
_MOST_CALLS = 200
_ENOUGH_S = 15.0  # of timed rounds; two rounds there are always
_MB = 1e6


@dataclass(frozen=True)
class Case:
    """Two ways to the same thing.

    what, beside, limit_is : in words what we do, what a user would do instead, and what nobody can undercut
    unit, count : of what `ours` and `limit` work through how much in one call; `theirs_count` if theirs is another
    theirs : the other way; or the seconds it takes, where it is no program, such as a video that plays
    same : whether the results of ours and theirs are those of the same work; asked once, before anything counts
    goal : how many times as fast as theirs ours shall be
    on_the_wall : whether the clock on the wall is read instead of the processor's
    once : whether there is a single round, without one to warm up and without a look at memory, because a call takes
        long and starts programs of its own
    forked : whether memory can be asked for in a forked process: not where a GPU is in use, or other programs
    """

    name: str
    what: str
    unit: str
    count: float
    ours: Work
    beside: str
    theirs: Work | float
    theirs_count: float | None = None
    limit_is: str = ""
    limit: Work | None = None
    goal: float | None = None
    same: Callable[[Any, Any], bool] | None = None
    on_the_wall: bool = False
    once: bool = False
    forked: bool = True


@dataclass(frozen=True)
class Growth:
    """Work that is done at several sizes, to see that time grows no faster and memory not.

    prepare : makes the work of a size, which alone is measured
    most_exponent : of the power law through the seconds; 1 is linear, 2 quadratic
    most_mb : memory that a further unit of size may take
    """

    name: str
    what: str
    unit: str
    sizes: tuple[float, ...]
    prepare: Callable[[float], Work]
    most_mb: float
    most_exponent: float = 1.15


class BenchmarkError(RuntimeError):
    """A side that fails, or two sides that do not do the same."""


# ---------------------------------------------------------------------------------------------------------------------
# Time


def processor_s() -> float:
    """Return the seconds that this process and its ended children have had of the processor."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(case: Case, rounds: int) -> dict[str, Any]:
    """Return seconds per unit of each side, medians over rounds, and the ratio, median and range of the rounds' own.

    Raises
    ------
    BenchmarkError
        If both sides do not do the same.
    """
    clock = time.perf_counter if case.on_the_wall else processor_s
    sides = {"ours": case.ours, "theirs": case.theirs, "limit": case.limit}
    work = {name: side for name, side in sides.items() if callable(side)}
    results, calls = {}, dict.fromkeys(work, 1)
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(1 if case.once else rounds + 1):
        if number > 2 and sum(map(sum, seconds.values())) > _ENOUGH_S:
            break
        for name, side in work.items():
            gc.collect()
            started = clock()
            for _ in range(calls[name]):
                results[name] = side()
            spent = (clock() - started) / calls[name]
            if number or case.once:
                seconds[name].append(spent)
            else:  # the first round imports, fills buffers, and tells how often to call
                calls[name] = min(_MOST_CALLS, max(1, math.ceil(_SHORTEST_S / max(spent, 1e-9))))
        if number == 0 and case.same is not None and not case.same(results["ours"], results["theirs"]):
            raise BenchmarkError(f"{case.name}: both sides do not find the same")
    if not callable(case.theirs):
        seconds["theirs"] = [case.theirs] * len(seconds["ours"])
    counts = {"ours": case.count, "theirs": case.theirs_count or case.count, "limit": case.count}
    each = {name: np.array(spent) / counts[name] for name, spent in seconds.items()}
    ratio = each["theirs"] / each["ours"]
    return {
        **{f"{name}_s": float(np.median(each[name])) if name in each else None for name in sides},
        "ratio": float(np.median(ratio)),
        "ratio_low": float(ratio.min()),
        "ratio_high": float(ratio.max()),
        "rounds": len(ratio),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Memory


def apart(work: Work) -> Any:
    """Return what a call returns in a process of its own, forked from this one: what it leaves behind goes with it.

    Raises
    ------
    BenchmarkError
        If the call fails.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(work, sender))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        raise BenchmarkError("a side of a benchmark has died") from None
    finally:
        process.join()
    if isinstance(result, BenchmarkError):
        raise result
    return result


def _answer(work: Work, sender: Any) -> None:
    try:
        sender.send(work())
    except Exception as error:
        sender.send(BenchmarkError(f"{type(error).__name__}: {error}"))
        raise


def peak_mb(work: Work) -> float:
    """Return how many MB a call takes at most beyond what this process has; programs it starts are not counted.

    To be asked before this process has started threads: it is forked.
    """
    return apart(lambda: _grown(work)[1])


def _grown(work: Work) -> tuple[float, float]:
    """Return the seconds of a call and the MB by which this process's peak has grown."""
    gc.collect()
    held = _peak()
    started = processor_s()
    work()
    spent = processor_s() - started
    return spent, _peak() - held


def _peak() -> float:
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / _MB
    )


# ---------------------------------------------------------------------------------------------------------------------
# Growth


def grown(growth: Growth) -> dict[str, Any]:
    """Return seconds and MB at each size, each in a process of its own, and how they grow.

    The memory of a further unit is that between the two largest sizes: before, buffers that are of one length for long
    videos fill.
    """
    found = [apart(lambda size=size: _grown(growth.prepare(size))) for size in growth.sizes]
    seconds, mb = np.array(found).T
    sizes = np.array(growth.sizes, dtype=float)
    return {
        "sizes": sizes.tolist(),
        "seconds": seconds.tolist(),
        "mb": mb.tolist(),
        "exponent": slope(np.log(sizes), np.log(np.maximum(seconds, 1e-6))),
        "mb_per_unit": slope(sizes[-2:], mb[-2:]),
    }


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Return the slope of the straight line through points (N,) that has the least squared error.

    >>> slope(np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.0, 9.0]))
    2.0
    """
    centred = x - x.mean()
    return float((centred * (y - y.mean())).sum() / (centred**2).sum())


# ---------------------------------------------------------------------------------------------------------------------
# The record


def measured(entries: Iterable[Case | Growth], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all cases and growths: memory first, while this process has not started threads."""
    entries = list(entries)
    cases = [one for one in entries if isinstance(one, Case)]
    memory = [
        {
            f"{side}_mb": peak_mb(work) if callable(work) and case.forked and not case.once else None
            for side, work in (("ours", case.ours), ("theirs", case.theirs))
        }
        for case in cases
    ]
    growth = [
        {"name": one.name, "what": one.what, "unit": one.unit}
        | grown(one)
        | {"most_exponent": one.most_exponent, "most_mb": one.most_mb}
        for one in entries
        if isinstance(one, Growth)
    ]
    rows = [
        {
            "name": case.name,
            "what": case.what,
            "beside": case.beside,
            "limit_is": case.limit_is,
            "unit": case.unit,
            "clock": "wall" if case.on_the_wall else "processor",
        }
        | timed(case, rounds)
        | {"goal": case.goal}
        | peaks
        for case, peaks in zip(cases, memory, strict=True)
    ]
    return {"rows": rows, "growth": growth}


def machine() -> dict[str, Any]:
    """Describe the machine, without anything that names it."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "flags": _flags(),
        "memory_gb": round(pages / 1e9),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _flags() -> list[str]:
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    return [flag for flag in FLAGS if flag in words]


def rounded(value: Any) -> Any:
    """Return a record with four digits of every number that is not whole: what is behind them is noise."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def write(folder: Path, benchmark: str, tiny: bool, found: dict[str, list[dict[str, Any]]]) -> Path:
    """Write the record of a benchmark and return its file."""
    path = folder / f"{benchmark}.json"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"benchmark": benchmark, "size": "tiny" if tiny else "full", "machine": machine()} | found
    path.write_text(json.dumps(rounded(record), indent=1) + "\n", encoding="utf-8")
    return path
