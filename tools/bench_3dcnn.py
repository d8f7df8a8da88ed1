"""How much faster the 3D-CNN scores a video when no per-frame work is done twice; prints JSON, or stores it.

    .venv/bin/python tools/bench_3dcnn.py                                       # quick size on the CPU
    .venv/bin/python tools/bench_3dcnn.py --profile paper --device cuda
    .venv/bin/python tools/bench_3dcnn.py --store reports/benchmarks/yap2022_3dcnn.jsonl

Both ways score the same random crops with the same untrained networks in one run, the shared way and the
straightforward one in turns, and the best of the rounds counts.
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
from mespot_lib.methods import yap2022_3dcnn as yap
from mespot_lib.train import choose_device


def measure(profile: str, device: str, frames: int, rounds: int) -> dict:
    """Return seconds per way, their ratio, the largest difference of the logits, frames per second, memory."""
    config = getattr(yap.Yap3dCnnConfig, profile)()
    where = choose_device(device)
    models = [yap.untrained(config, seed).to(where) for seed in range(config.parts)]
    size, rng = config.crops.size, np.random.default_rng(0)
    pictures = rng.integers(0, 255, (frames, size, size)).astype(np.float16)
    crops = FaceCrops(np.arange(frames), pictures, np.zeros(frames, dtype=np.int64))
    ways = {"shared": yap.sample_logits, "straightforward": yap.sample_logits_plainly}
    seconds, logits, memory = dict.fromkeys(ways, np.inf), {}, {}
    # on the CPU its own time, which other programs disturb least
    clock = time.process_time if where.type == "cpu" else time.perf_counter
    with torch.inference_mode():
        for _ in range(rounds):
            for name, way in ways.items():
                started = clock()
                logits[name] = way(models, crops, (6, 19), config.reference)
                seconds[name] = min(seconds[name], clock() - started)
                # the shared way goes first: the process's peak is its own then
                memory.setdefault(name, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
    return {
        "profile": profile,
        "device": where.type,
        "processor": torch.cuda.get_device_name() if where.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "networks": config.parts,
        "frames": frames,
        "frames_per_s": {name: round(frames / value, 1) for name, value in seconds.items()},
        "ratio": round(seconds["straightforward"] / seconds["shared"], 2),
        "largest_difference": float(np.abs(logits["shared"] - logits["straightforward"]).max()),
        "peak_memory_mb": {name: round(value) for name, value in memory.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", choices=("quick", "paper"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", type=Path, help="a file that gets one more line")
    chosen = parser.parse_args()
    line = json.dumps(measure(chosen.profile, chosen.device, chosen.frames, chosen.rounds))
    if chosen.store:
        chosen.store.parent.mkdir(parents=True, exist_ok=True)
        with chosen.store.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
