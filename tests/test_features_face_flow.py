"""Flow of the registered face: steps of known motion, what key frames are for, gaps, cuts and the cache."""

import cv2
import numpy as np
import pytest

from mespot_lib.features import face_flow as module
from mespot_lib.features.face_flow import FaceFlowRecipe, face_flow, flow_steps
from mespot_lib.features.flow import dense_flow
from mespot_lib.manifest import Video

RECIPE = FaceFlowRecipe(size=64, cells=16, key_s=0.2)
UNITS = 256 / 64  # u per px of the crop


def texture(size=64, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.uniform(0, 255, (size, size)).astype(np.float32), (0, 0), 2.0)
    return cv2.normalize(grey, None, 20, 235, cv2.NORM_MINMAX)


def shifted(image: np.ndarray, x: float, y: float, noise: float = 0.0, rng=None) -> np.ndarray:
    matrix = np.array([[1, 0, x], [0, 1, y]], dtype=np.float64)
    moved = cv2.warpAffine(image, matrix, image.shape, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if noise:
        moved = moved + rng.normal(0, noise, moved.shape)
    return np.clip(np.round(moved), 0, 255).astype(np.uint8)


def steps_of(crops, recipe=RECIPE, stretches=None, times=None):
    times = range(len(crops)) if times is None else times
    stretches = [0] * len(crops) if stretches is None else stretches
    return list(flow_steps(zip(times, crops, stretches, strict=True), 30.0, recipe))


def inner(field: np.ndarray) -> np.ndarray:
    return np.mean(field[:, 4:-4, 4:-4], axis=(1, 2))


@pytest.mark.parametrize("key_s", [0.0, 0.2])
def test_steps_are_the_motion_in_face_units(key_s):
    image = texture()
    path = np.cumsum([[0.0, 0.0]] + [[0.25, -0.1]] * 14, axis=0)
    steps = steps_of([shifted(image, *at) for at in path], FaceFlowRecipe(size=64, cells=16, key_s=key_s))
    assert steps[0][1] is None
    each = np.array([inner(step) for _, step in steps[1:]])
    assert each.sum(axis=0) == pytest.approx(path[-1] * UNITS, rel=0.2)
    assert np.abs(each - [0.25 * UNITS, -0.1 * UNITS]).max() < 0.35 * UNITS * 0.25


def test_with_key_frames_errors_do_not_add_up():
    rng = np.random.default_rng(1)
    image = texture(seed=3)
    crops = [shifted(image, 0, 0, noise=6.0, rng=rng) for _ in range(60)]
    far = {}
    for key_s in (0.0, 1.0):
        steps = steps_of(crops, FaceFlowRecipe(size=64, cells=16, key_s=key_s))
        path = np.cumsum([step for _, step in steps[1:]], axis=0)
        far[key_s] = np.sqrt(np.mean((path[24:] - path[:-24]) ** 2))
    assert far[1.0] < 0.8 * far[0.0]


def test_nothing_is_known_across_a_cut_or_a_gap():
    crops = [shifted(texture(), 0.2 * t, 0) for t in range(12)]
    steps = steps_of(crops, stretches=[0] * 6 + [1] * 6)
    assert [t for t, step in steps if step is None] == [0, 6]
    times = [0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16]  # 6 frames are 0.2 s
    assert [t for t, step in steps_of(crops, times=times) if step is None] == [0, 9]


def test_a_key_frame_is_renewed(monkeypatch):
    keys = []

    def watched(first, second, method, **settings):
        keys.extend(first)
        return iter(np.zeros((*first.shape, 2), np.float32))

    monkeypatch.setattr(module, "dense_flows", watched)
    crops = [np.full((64, 64), t, np.uint8) for t in range(14)]
    steps_of(crops)
    assert [int(key[0, 0]) for key in keys] == [0] * 6 + [6] * 6 + [12]
    keys.clear()
    steps_of(crops, FaceFlowRecipe(size=64, cells=16, key_s=0.0))
    assert [int(key[0, 0]) for key in keys] == list(range(13))


def test_other_algorithms_fit_in():
    recipe = FaceFlowRecipe(size=64, cells=16, method="farneback", flow_settings={"winsize": 9})
    steps = steps_of([shifted(texture(), 0.4 * t, 0) for t in range(3)], recipe)
    assert inner(steps[1][1])[0] == pytest.approx(0.4 * UNITS, rel=0.25)


# --- whole videos ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A video of 40 frames at 60 fps whose crops are given; in frames 11 to 20 there is no face."""
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "v"
    folder.mkdir()
    (folder / "img00001.png").write_bytes(b"only its name matters")
    monkeypatch.setattr(
        module,
        "crop_stream",
        lambda video, recipe: (
            (t, shifted(texture(), 0.1 * t, 0).astype(np.float32), int(t > 20))
            for t in range(0, 40, 2)
            if not 11 <= t <= 20
        ),
    )
    frames = {"first_frame_no": 1, "last_frame_no": 40, "frame_prefix": "img", "pad_width": 5, "ext": ".png"}
    return Video("own/p/v", "own", "p", "v", folder, "frames", 60.0, **frames, width=64, height=64)


def test_a_video_is_sampled_evenly_and_gaps_keep_their_place(clip):
    recipe = FaceFlowRecipe(size=64, cells=16, landmarks="cascade")
    flow = face_flow(clip, recipe)
    assert flow.frames.tolist() == list(range(0, 40, 2))
    assert flow.steps.shape == (20, 2, 16, 16)
    assert flow.steps.dtype == np.float16
    unknown = np.flatnonzero(~flow.known).tolist()
    assert unknown == [0, 6, 7, 8, 9, 10, 11]
    assert not np.asarray(flow.steps)[~flow.known].any()
    assert inner(np.asarray(flow.steps[3], dtype=float))[0] == pytest.approx(0.2 * UNITS, rel=0.4)


def test_it_is_measured_once(clip, monkeypatch):
    recipe = FaceFlowRecipe(size=64, cells=16, landmarks="cascade")
    first = face_flow(clip, recipe)
    monkeypatch.setattr(module, "crop_stream", lambda *_: pytest.fail("measured again"))
    again = face_flow(clip, recipe)
    assert np.array_equal(first.steps, again.steps)
    assert isinstance(again.steps, np.memmap) or isinstance(again.steps.base, np.memmap)


def test_cells_must_divide_the_crop(clip):
    with pytest.raises(ValueError, match="cells do not divide"):
        face_flow(clip, FaceFlowRecipe(size=100, cells=32))


def test_pairs_taken_together_are_those_taken_alone():
    """More crops than are taken at once, with a cut and the end in the middle of what is."""
    crops = [shifted(texture(), 0.2 * t, -0.1 * t) for t in range(37)]
    recipe = FaceFlowRecipe(size=64, cells=16, method="tvl1", flow_settings={"warps": 2}, key_s=0.2)
    steps = steps_of(crops, recipe, stretches=[0] * 20 + [1] * 17)
    assert [t for t, step in steps if step is None] == [0, 20]
    for t in (1, 2, 15, 16, 17, 36):
        key = 6 * ((t - 1) // 6) if t < 20 else 20 + 6 * ((t - 21) // 6)
        alone = [
            module._cells(dense_flow(crops[key], crops[at], "tvl1", warps=2), recipe) for at in (t - 1, t)
        ]
        assert steps[t][1] == pytest.approx(alone[1] - (alone[0] if t - 1 > key else 0), abs=1e-3)  # of 0.9 u
