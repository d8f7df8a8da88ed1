"""How fast TV-L1 flow is beside scikit-image's, on the same pairs in one run; prints JSON, or stores it.

    .venv/bin/python tools/bench_tvl1.py                                  # 112 px on the CPU
    .venv/bin/python tools/bench_tvl1.py --size 224 --device cuda
    .venv/bin/python tools/bench_tvl1.py --store reports/benchmarks/tvl1.jsonl

Both take the same parameters; the best of the rounds counts. With other devices scikit-image still runs on the CPU.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from skimage.registration import optical_flow_tvl1

from mespot_lib.features.accuracy import moved_faces
from mespot_lib.features.tvl1 import tvl1_flow

PEAKS_PX = (0.1, 0.3, 1.0, 3.0)


def measure(size: int, device: str, pairs: int, rounds: int) -> dict:
    """Return pairs per second and mean end-point errors of both, and the ratio of the former."""
    peaks = (PEAKS_PX * pairs)[:pairs]
    first, second, motion = moved_faces(peaks, size=size)
    theirs = (first / 255.0).astype(np.float32), (second / 255.0).astype(np.float32)
    ways = {
        "ours": lambda: tvl1_flow(first, second, device=device),
        "scikit-image": lambda: np.stack([optical_flow_tvl1(a, b) for a, b in zip(*theirs, strict=True)])[
            :, ::-1
        ].transpose(0, 2, 3, 1),
    }
    seconds, flows = dict.fromkeys(ways, np.inf), {}
    for _ in range(rounds):
        for name, way in ways.items():
            # on the CPU its own time, which other programs disturb least
            clock = time.process_time if device == "cpu" or name != "ours" else time.perf_counter
            started = clock()
            flows[name] = way()
            seconds[name] = min(seconds[name], clock() - started)
    moving = np.linalg.norm(motion, axis=-1) > 0.1 * np.reshape(peaks, (-1, 1, 1))
    errors = {name: np.linalg.norm(flow - motion, axis=-1)[moving].mean() for name, flow in flows.items()}
    return {
        "size_px": size,
        "device": torch.device(device).type,
        "processor": torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine(),
        "threads": torch.get_num_threads(),
        "pairs": pairs,
        "pairs_per_s": {name: round(pairs / value, 1) for name, value in seconds.items()},
        "ratio": round(seconds["scikit-image"] / seconds["ours"], 2),
        "end_point_error_px": {name: round(float(value), 4) for name, value in errors.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--store", type=Path, help="a file that gets one more line")
    chosen = parser.parse_args()
    line = json.dumps(measure(chosen.size, chosen.device, chosen.pairs, chosen.rounds))
    if chosen.store:
        chosen.store.parent.mkdir(parents=True, exist_ok=True)
        with chosen.store.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
