"""How fast a video of one's own is spotted, and how much memory it takes. Minutes long, run by `make bench`."""

import itertools
import json
import subprocess
import sys

import filmed
import pytest

from mespot_lib.user_video import write_video_file

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own_video")]

# Its own process, on one core: seconds of the processor, of the video, and the most memory ever held, in MB.
MEASURE = """
import json, resource, sys, time
import cv2
cv2.setNumThreads(1)
from pathlib import Path
from mespot_lib import spot_page, user_video
before = time.process_time()
found = user_video.analyse_video(sys.argv[1], backend=sys.argv[2])
spent = time.process_time() - before
with spot_page.reserved(sys.argv[1] + "_out") as folder:
    spot_page.write_results(found, folder)
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
print(json.dumps({"spent": spent, "seconds": found.seconds, "peak": peak, "spots": len(found.intervals)}))
"""


def measured(path, backend="cascade"):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), backend], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def to_and_fro(images, times):
    """Yield the pictures forwards and backwards, over and over: nothing jumps."""
    return itertools.chain.from_iterable(itertools.repeat([*images, *images[::-1]], times))


@pytest.mark.parametrize("backend", ["cascade", "auto"])
@pytest.mark.parametrize(("fps", "most"), [(30, 1.0), (200, 5.0)])
def test_a_video_is_spotted_faster_than_promised(tmp_path, fps, most, backend):
    """Seconds of one core per second of a 640 x 480 video, decoding and tracking included."""
    images, _ = filmed.drawn(640, 480, 1.0)
    write_video_file(tmp_path / "clip.mp4", to_and_fro(images, 2 if fps == 30 else 4), fps)
    one = measured(tmp_path / "clip.mp4", backend)
    assert one["spots"]
    assert one["spent"] / one["seconds"] < most, one


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module")
def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path):
    images, _ = filmed.drawn()
    peaks = {}
    for minutes in (1, 20):
        path = tmp_path / f"{minutes}.mp4"
        write_video_file(path, to_and_fro(images, 5 * minutes), 30, quality=23)
        peaks[minutes] = measured(path)["peak"]
        path.unlink()
    assert peaks[20] < 700, peaks
    # no pictures: landmarks, motion and curves of 36 000 samples, about 7 MB for each minute
    assert peaks[20] - peaks[1] < 250, peaks
