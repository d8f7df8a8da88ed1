"""The baseline as uploaded: what each of its faults changes, on fields and curves made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.datasets import read_dataset
from mespot_lib.features.motion import CropFlow, MotionRecipe
from mespot_lib.features.regions import region_boxes
from mespot_lib.interval import Interval
from mespot_lib.methods import zhang2020_released as released
from mespot_lib.methods.zhang2020_released import (
    FAULTS,
    NOSE,
    SQUARES,
    Faults,
    Limits,
    ReleasedConfig,
    Scores,
    crests,
    join,
    spot_speeds,
    square_speeds,
)

SIZE = 128
MOUTH = SQUARES.index(48)
LIMITS, UNSMOOTHED = Limits(), Limits(window=3)
RIGHT = ReleasedConfig(faults=Faults.none())
UNCUT = ReleasedConfig(faults=Faults().without("ends_cut"))


def landmarks() -> np.ndarray:
    """Return points (68, 2) px whose squares do not overlap, nor do their mirror images in the diagonal."""
    points = np.full((68, 2), 64.0, dtype=np.float32)
    for row, point in enumerate(SQUARES):
        points[point] = 60 + 10 * (row // 6), 8 + 12 * (row % 6)
    points[48] = 100, 40
    return points


def field(vectors: dict[int, tuple[float, float]], rest: tuple[float, float] = (0, 0)) -> CropFlow:
    """Return a flow field with the given vectors in the squares of landmarks, and another everywhere else."""
    flow = np.zeros((SIZE, SIZE, 2), dtype=np.float32) + np.float32(rest)
    for point, vector in vectors.items():
        left, top, right, bottom = region_boxes(landmarks(), SIZE, [point])[0]
        flow[top:bottom, left:right] = vector
    return CropFlow(flow, landmarks(), np.zeros(2, dtype=np.float32))


def hump(seconds: np.ndarray, at_s: float, lasting_s: float, height: float) -> np.ndarray:
    """Return a speed that rises and falls once, u per 1/30 s."""
    return height * np.cos(np.clip((seconds - at_s) / lasting_s, -0.5, 0.5) * np.pi) ** 2


def scores(
    *humps: tuple[float, float, float], fps: float = 30, seconds: float = 20, square: int = 0
) -> Scores:
    """Return the speeds of a still face in which one square moves, each hump (at, lasting, height); u per sample."""
    t = np.arange(round(seconds * fps)) / fps
    speeds = np.zeros((len(t), len(SQUARES)), dtype=np.float32)
    speeds[:, square] = sum(hump(t, *one) for one in humps) * 30 / fps
    return Scores(fps, np.arange(len(t)), speeds)


def spans(found: list[Interval]) -> list[tuple[int, int]]:
    return [(one.onset, one.offset) for one in found]


# ---------------------------------------------------------------------------------------------------------------------
# Squares


def test_a_square_moves_as_fast_as_its_vectors_less_the_nose():
    speeds = square_speeds(field({48: (3, 4)}, rest=(1, 0)))
    assert speeds[MOUTH] == pytest.approx(np.hypot(2, 4), rel=1e-5)
    assert np.delete(speeds, MOUTH) == pytest.approx(0, abs=1e-5)


def test_the_strongest_direction_counts_alone():
    moved = field({48: (2, 0.1)})
    left, top, right, _ = region_boxes(landmarks(), SIZE, [48])[0]
    moved.flow[top : top + 2, left:right] = -1, -0.1  # two of eight rows the other way
    assert square_speeds(moved)[MOUTH] == pytest.approx(np.hypot(2, 0.1), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_speeds_are_means_over_one_bin_of_vectors(seed):
    rng = np.random.default_rng(seed)
    moved = CropFlow(
        rng.normal(size=(SIZE, SIZE, 2)).astype(np.float32), landmarks(), np.zeros(2, np.float32)
    )
    left, top, right, bottom = region_boxes(landmarks(), SIZE, [NOSE])[0]
    nose = moved.flow[top:bottom, left:right].reshape(-1, 2)
    total = nose.sum(axis=0)
    head = total / np.hypot(*total) * np.hypot(*nose.T).mean()
    left, top, right, bottom = region_boxes(landmarks(), SIZE, [48])[0]
    vectors = moved.flow[top:bottom, left:right].reshape(-1, 2) - head
    degrees = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360
    bins = [np.hypot(*vectors[(low <= degrees) & (degrees < low + 60)].T) for low in range(0, 360, 60)]
    assert square_speeds(moved)[MOUTH] == pytest.approx(max(bins, key=np.sum).mean(), rel=1e-4)


def test_transposed_a_square_reads_its_mirror_image():
    moved = field({48: (3, 4)})
    assert square_speeds(moved, transposed=True) == pytest.approx(0, abs=1e-6)
    mirrored = moved._replace(flow=moved.flow.transpose(1, 0, 2))
    assert np.array_equal(square_speeds(mirrored, transposed=True), square_speeds(moved))


def test_overwritten_the_square_on_the_nose_shows_the_heads_motion():
    nodding = field({}, rest=(0.1, 0.2))
    right, wrong = square_speeds(nodding), square_speeds(nodding, overwritten=True)
    assert right == pytest.approx(0, abs=1e-6)
    assert wrong[-1] > 1  # one vector of 63 others' length, alone in its bin or nearly so
    assert wrong[:-1] == pytest.approx(0, abs=1e-6)


def test_the_flow_stays_as_it_was():
    moved = field({48: (3, 4)}, rest=(0.1, 0.2))
    before = moved.flow.copy()
    square_speeds(moved, transposed=True, overwritten=True)
    assert np.array_equal(moved.flow, before)


# ---------------------------------------------------------------------------------------------------------------------
# Crests and runs


def curve(*humps: tuple[float, float, float]) -> np.ndarray:
    return scores(*humps).speeds[:, 0]


def test_a_crest_goes_from_foot_to_foot():
    (span,) = crests(curve((10, 0.19, 1.2)), 30, LIMITS, RIGHT)
    assert span.tolist() == [297, 303]


def test_top_excluded_the_strongest_crest_is_none():
    two = curve((6, 0.19, 2.0), (10, 0.19, 1.8))
    assert crests(two, 30, LIMITS, RIGHT)[:, 0].tolist() == [177, 297]
    assert crests(two, 30, LIMITS, UNCUT)[:, 0].tolist() == [297]
    assert len(crests(curve((10, 0.19, 2.0)), 30, LIMITS, UNCUT)) == 0


def test_slow_squares_low_crests_and_long_ones_are_left_out():
    assert len(crests(curve((10, 0.19, 0.7)), 30, LIMITS, RIGHT)) == 0
    assert (
        len(crests(curve((6, 0.19, 2.0), (10, 0.19, 1.5)), 30, LIMITS, RIGHT)) == 1
    )  # 1.5 is not above 0.8 x 2
    assert len(crests(curve((10, 0.4, 2.0)), 30, LIMITS, RIGHT)) == 0  # 13 frames
    assert len(crests(curve((10, 0.4, 2.0)), 30, Limits(longest=16), RIGHT)) == 1
    assert len(crests(curve((10, 0.19, 0.7)), 30, Limits(height=0.5), RIGHT)) == 1
    low = ReleasedConfig(faults=Faults.none(), least_max=0.1)
    assert len(crests(curve((10, 0.19, 0.29)), 30, LIMITS, low)) == 0


def test_in_pairs_only_every_second_gap_is_closed():
    three = np.array([[0, 3], [5, 8], [10, 12]])
    assert join(three, 2).tolist() == [[0, 12]]
    assert join(three, 2, in_pairs=True).tolist() == [[0, 8], [10, 12]]
    assert join(np.array([[0, 3], [20, 24], [26, 29]]), 2, in_pairs=True).tolist() == [
        [0, 3],
        [20, 24],
        [26, 29],
    ]
    assert join(three[:1], 2).tolist() == [[0, 3]]
    assert join(three[:0], 2).shape == (0, 2)


def test_a_square_with_very_many_crests_is_noise():
    config = ReleasedConfig(faults=Faults.none())
    few, many = (scores(*[(2 + 0.5 * k, 0.19, 1 + k / 1000) for k in range(count)]) for count in (30, 31))
    assert len(spot_speeds(few, UNSMOOTHED, config)) == 30
    assert spot_speeds(many, UNSMOOTHED, config) == []


# ---------------------------------------------------------------------------------------------------------------------
# Frame rates, kinds and ends

TWO = (6, 0.15, 2.0), (10, 0.15, 1.8)


def right_but(*names: str) -> ReleasedConfig:
    return ReleasedConfig(faults=Faults(**{name: name in names for name in FAULTS}))


@pytest.mark.parametrize("fps", [30, 60, 100, 200])
def test_put_right_it_finds_the_same_at_every_frame_rate(fps):
    found = spot_speeds(scores(*TWO, fps=fps), LIMITS, RIGHT)
    assert len(found) == 2
    for one, at in zip(found, (6, 10), strict=True):
        assert abs(one.onset / fps - (at - 0.1)) <= 0.035
        assert abs(one.offset / fps - (at + 0.1)) <= 0.035
        assert one.kind == "ME"
        assert one.score == pytest.approx(1.65, abs=0.25)


@pytest.mark.parametrize("fault", ["lengths_in_frames", "heights_per_frame"])
def test_either_fault_of_unit_alone_leaves_nothing_at_200_per_second(fault):
    config = right_but(fault)
    assert len(spot_speeds(scores(*TWO, fps=30), LIMITS, config)) == 2
    assert spot_speeds(scores(*TWO, fps=200), LIMITS, config) == []


def test_every_frame_decides_how_often_the_flow_is_taken():
    assert ReleasedConfig().recipe(200).rate_hz == 200
    assert RIGHT.recipe(200).rate_hz == 30
    assert ReleasedConfig().recipe(25) == RIGHT.recipe(25)


def test_ends_cut_nothing_is_found_near_the_ends():
    config = right_but("ends_cut")
    early = scores((2, 0.15, 2.0), (10, 0.15, 1.9))
    assert len(spot_speeds(early, LIMITS, RIGHT)) == 2
    assert spans(spot_speeds(early, LIMITS, config)) == spans(spot_speeds(early, LIMITS, RIGHT))[1:]
    assert spot_speeds(scores((3, 0.15, 2.0), seconds=6), LIMITS, config) == []  # no longer than both ends
    fast = scores((2, 0.15, 2.0), (10, 0.15, 1.9), fps=200)
    assert len(spot_speeds(fast, LIMITS, right_but("ends_cut", "lengths_in_frames"))) == 0
    assert len(spot_speeds(fast, LIMITS, config)) == 1  # 3.3 s at any rate


def test_what_lasts_longer_than_half_a_second_is_a_macro_expression():
    train = scores(*[(10 + 0.2 * k, 0.19, 2 + k / 100) for k in range(4)])
    (one,) = spot_speeds(train, UNSMOOTHED, RIGHT)
    assert one.kind == "MaE"
    assert one.offset - one.onset > 15


def test_all_squares_mark_one_video():
    both = scores((6, 0.19, 2.0))
    both.speeds[:, 5] = scores((6.1, 0.19, 1.0)).speeds[:, 0]
    (one,) = spot_speeds(both, UNSMOOTHED, RIGHT)
    assert one.onset < 178
    assert one.offset > 184
    assert one.apex == 180


@pytest.mark.parametrize("samples", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("config", [ReleasedConfig(), UNCUT, RIGHT])
def test_a_very_short_video_is_no_error(samples, config):
    speeds = np.ones((samples, len(SQUARES)), dtype=np.float32)
    assert spot_speeds(Scores(30.0, np.arange(samples), speeds), LIMITS, config) == []


# ---------------------------------------------------------------------------------------------------------------------
# Whole videos


def test_faults_are_named_one_by_one():
    assert all(getattr(Faults(), name) for name in FAULTS)
    assert not any(getattr(Faults.none(), name) for name in FAULTS)
    assert ReleasedConfig.right().faults == Faults.none()
    assert ReleasedConfig.right().limits[0] == Limits()  # of equals the first is chosen
    one = Faults().without("in_pairs")
    assert [name for name in FAULTS if not getattr(one, name)] == ["in_pairs"]
    with pytest.raises(TypeError):
        Faults().without("typo")


@pytest.fixture(scope="module")
def manifests(drawn):
    """Short videos of two people at 30 per second, and of two at 200."""
    return {name: read_dataset(name, drawn(f"synthetic_{name}_smoke")) for name in ("casme2", "samm_lv")}


@pytest.fixture
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path_factory.getbasetemp() / "released_cache"))


@pytest.mark.parametrize("name", ["casme2", "samm_lv"])
def test_it_runs_on_videos_of_both_rates(manifests, cache, name):
    manifest = manifests[name]
    video = manifest.video(manifest.uids[0])
    side = MotionRecipe(landmarks="side")
    as_uploaded, right = ReleasedConfig(motion=side), ReleasedConfig(motion=side, faults=Faults.none())
    every, some = released.score_video(video, as_uploaded), released.score_video(video, right)
    assert every.speeds.shape == (video.length, 12)
    assert len(some.speeds) == -(-video.length // {"casme2": 1, "samm_lv": 7}[name])
    assert np.isfinite(every.speeds).all()
    assert every.speeds.max() > 0
    assert not every.speeds[-1].any()
    fitted = released.fit(manifest, right)
    for one in fitted.spot(some):
        assert 0 <= one.onset <= one.apex <= one.offset < video.length
    if name == "samm_lv":
        assert released.fit(manifest, as_uploaded).spot(every) == []


def test_one_set_of_limits_for_all_videos_is_chosen_by_f1(manifests, cache, monkeypatch):
    manifest = manifests["casme2"]
    wanted = {uid: manifest.truth(uid) for uid in manifest.uids}
    monkeypatch.setattr(released, "score_video", lambda video, config: video.uid)
    monkeypatch.setattr(
        released, "spot_speeds", lambda uid, limits, config: wanted[uid] if limits.window in (7, 9) else []
    )
    several = ReleasedConfig(limits=[Limits(window=window) for window in (5, 7, 9)])
    assert released.fit(manifest, several).limits == Limits(7)
    assert released.fit(manifest, ReleasedConfig()).limits == Limits(5, 1.0, 8)


def test_limits_are_chosen_on_the_other_people(manifests, cache, monkeypatch):
    manifest = manifests["casme2"]
    first, second = manifest.uids  # of two people; each would like a window of its own
    wanted = {first: 7, second: 9}
    monkeypatch.setattr(released, "score_video", lambda video, config: video.uid)
    monkeypatch.setattr(
        released,
        "spot_speeds",
        lambda uid, limits, config: manifest.truth(uid) if limits.window == wanted[uid] else [],
    )
    several = ReleasedConfig(limits=[Limits(window=window) for window in (5, 7, 9)])
    assert released.limits_of_others(manifest, several) == {first: Limits(9), second: Limits(7)}
