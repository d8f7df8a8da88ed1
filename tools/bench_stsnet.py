"""How much faster STSNet_SW scores a video when its trunk sees each frame once; prints JSON, or stores it.

    .venv/bin/python tools/bench_stsnet.py                                       # quick size on the CPU
    .venv/bin/python tools/bench_stsnet.py --profile paper --frames 200 --device cuda
    .venv/bin/python tools/bench_stsnet.py --frames 8000 --rounds 1 --only shared       # memory of a long video
    .venv/bin/python tools/bench_stsnet.py --store reports/benchmarks/stsnet_sw.jsonl

Both ways classify the windows of the same random pictures with the same untrained network in one run, in turns, and the
best of the rounds counts. With K frames per window the ratio cannot be above K.
"""

import argparse
import json
import platform
import resource
import time
from pathlib import Path

import numpy as np
import torch

from mespot_lib.features.crops import FaceCrops
from mespot_lib.methods import stsnet_sw as sts
from mespot_lib.train import choose_device

WAYS = {"shared": sts.window_logits, "straightforward": sts.window_logits_plainly}


def measure(profile: str, device: str, frames: int, rounds: int, names: list[str]) -> dict:
    """Return seconds per way, their ratio, the largest difference of the logits, frames per second, memory."""
    config = getattr(sts.StsNetConfig, profile)()
    where = choose_device(device)
    models = [sts.untrained(config, 0).to(where)]
    size = config.crops.size
    pictures = (
        np.random.default_rng(0).integers(0, 255, (256, size, size)).astype(np.uint8)
    )  # over and over again
    crops = FaceCrops(np.arange(frames), np.empty((frames, 0, 0)), np.zeros(frames, dtype=np.int64))
    found = sts.windows(crops, 30.0, config)
    seconds, logits, memory = dict.fromkeys(names, np.inf), {}, {}
    # on the CPU its own time, which other programs disturb least
    clock = time.process_time if where.type == "cpu" else time.perf_counter
    with torch.inference_mode():
        for _ in range(rounds):
            for name in names:
                started = clock()
                logits[name] = WAYS[name](models, lambda at: pictures[at % 256] / np.float32(128) - 1, found)
                seconds[name] = min(seconds[name], clock() - started)
                # the shared way goes first: the process's peak is its own then
                memory.setdefault(name, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
    record = {
        "profile": profile,
        "device": where.type,
        "processor": torch.cuda.get_device_name() if where.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "window": config.window,
        "frames": frames,
        "frames_per_s": {name: round(frames / value, 1) for name, value in seconds.items()},
        "peak_memory_mb": {name: round(value) for name, value in memory.items()},
    }
    if len(names) == len(WAYS):
        record["ratio"] = round(seconds["straightforward"] / seconds["shared"], 2)
        record["largest_difference"] = float(np.abs(logits["shared"] - logits["straightforward"]).max())
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", choices=("quick", "paper"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(WAYS), help="one of the two ways")
    parser.add_argument("--store", type=Path, help="a file that gets one more line")
    chosen = parser.parse_args()
    names = [chosen.only] if chosen.only else list(WAYS)
    line = json.dumps(measure(chosen.profile, chosen.device, chosen.frames, chosen.rounds, names))
    if chosen.store:
        chosen.store.parent.mkdir(parents=True, exist_ok=True)
        with chosen.store.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
