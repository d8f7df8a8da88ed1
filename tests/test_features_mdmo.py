"""MDMO: bins and shares by hand, against a plain count, on a textured face that moves by known amounts."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mespot_lib import face
from mespot_lib.face import NoFaceError
from mespot_lib.features import mdmo as module
from mespot_lib.features.mdmo import (
    NOSE_BINS,
    POINTS,
    REGION_BINS,
    MdmoMotion,
    MdmoRecipe,
    main_direction,
    mdmo,
    mdmo_motion,
    measure_tracked,
    region_mdmo,
    region_vectors,
)
from mespot_lib.manifest import Video
from mespot_lib.tracking import Tracked


def polar(degrees, lengths=1.0) -> np.ndarray:
    """Vectors of these directions and lengths, (P, 2)."""
    angle = np.radians(np.asarray(degrees, dtype=float))
    return (
        np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.broadcast_to(lengths, angle.shape)[..., None]
    )


# --- by hand --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bins", "degrees", "number"),
    [
        (REGION_BINS, (31, 90, 149), 0),
        (REGION_BINS, (151, 180, 209), 1),
        (REGION_BINS, (211, 270, 329), 2),
        (REGION_BINS, (331, 359, 0, 29), 3),
        (NOSE_BINS, (46, 90, 134), 0),
        (NOSE_BINS, (316, 0, 44), 3),
    ],
)
def test_bins_by_hand(bins, degrees, number):
    assert main_direction(polar(degrees), bins).tolist() == [number] * len(degrees)


def test_an_edge_belongs_to_the_bin_that_begins_there():
    exact = (0.25, 1.0, 4.0)  # edges that are no rounded angles
    at = np.array([[np.cos(a), np.sin(a)] for a in (np.nextafter(0.25, 0), 0.25, np.nextafter(0.25, 1))])
    angle = np.arctan2(at[:, 1], at[:, 0])
    assert main_direction(at, exact).tolist() == [0 if a >= 0.25 else 2 for a in angle]
    assert main_direction(np.array([[0.0, 1.0]]), (0.0, np.pi / 2)).tolist() == [1]
    assert main_direction(np.array([[1.0, 0.0]]), (0.0, np.pi / 2)).tolist() == [0]


def test_the_fullest_bin_wins_and_not_the_strongest():
    vectors = polar([90, 90, 90, 270, 270], [1, 1, 1, 9, 9])
    assert mdmo(vectors, REGION_BINS, 1.0) == pytest.approx([0, 1])


def test_of_the_main_bin_the_longest_count():
    vectors = np.concatenate([polar(np.full(10, 90), np.arange(1, 11)), polar([270] * 9, 50)])
    assert mdmo(vectors, REGION_BINS, 0.6) == pytest.approx([0, np.mean([5, 6, 7, 8, 9, 10])])
    assert mdmo(vectors, REGION_BINS, 0.01) == pytest.approx([0, 10])  # at least one does


def test_direction_and_length_are_averaged_apart():
    found = mdmo(polar([60, 120], [1, 3]), REGION_BINS, 1.0)
    assert found == pytest.approx([0, 2])  # their plain mean is shorter, and leans to the longer one
    assert np.linalg.norm(polar([60, 120], [1, 3]).mean(axis=0)) < 2


def test_the_mean_direction_does_not_jump_where_angles_begin_anew():
    assert mdmo(polar([350, 10], 2), REGION_BINS, 1.0) == pytest.approx([2, 0])


def test_of_equally_full_bins_the_first_is_the_main_one():
    assert mdmo(polar([90, 270]), REGION_BINS, 1.0) == pytest.approx([0, 1])


def test_nothing_that_moves_is_nothing():
    assert mdmo(np.zeros((3, 7, 2)), NOSE_BINS, 0.88).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("bins", "share"),
    [
        (REGION_BINS, 0.0),
        (REGION_BINS, 1.1),
        (REGION_BINS, float("nan")),
        ((1.0,), 0.5),
        ((2.0, 1.0), 0.5),
        ((-0.1, 1.0), 0.5),
        ((0.0, 7.0), 0.5),
    ],
)
def test_impossible_settings_are_refused(bins, share):
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\] and bins rise"):
        mdmo(np.ones((4, 2)), bins, share)


# --- against a plain count ------------------------------------------------------------------------------------------

fields = arrays(np.float64, (3, 13, 2), elements=st.floats(-5, 5).map(lambda v: round(v, 2)))


def plain(vectors, bins, share):
    """The same with loops."""
    members = [[] for _ in bins]
    for x, y in vectors:
        angle = np.arctan2(y, x) % (2 * np.pi)
        inside = [i for i, begin in enumerate(bins) if begin <= angle]
        number = inside[-1] if inside else len(bins) - 1
        members[number].append((np.hypot(x, y), (angle - bins[number]) % (2 * np.pi)))
    number = max(range(len(bins)), key=lambda i: (len(members[i]), -i))
    count = max(1, round(share * len(members[number])))
    kept = sorted(members[number], key=lambda one: -one[0])[:count]
    rho, theta = np.mean([one[0] for one in kept]), np.mean([one[1] for one in kept]) + bins[number]
    return [rho * np.cos(theta), rho * np.sin(theta)]


@given(fields, st.sampled_from([REGION_BINS, NOSE_BINS]), st.floats(0.05, 1))
def test_all_regions_at_once_equal_one_by_one(vectors, bins, share):
    expected = [plain(one, bins, share) for one in vectors]
    assert mdmo(vectors, bins, share) == pytest.approx(np.array(expected), abs=1e-9)


@given(fields, st.floats(0.1, 1), st.floats(0.1, 10))
def test_twice_the_motion_is_twice_the_feature(vectors, share, factor):
    assert mdmo(vectors * factor, REGION_BINS, share) == pytest.approx(
        factor * mdmo(vectors, REGION_BINS, share), abs=1e-6
    )


@given(fields, st.floats(0.1, 1))
def test_no_feature_is_longer_than_the_longest_vector_or_leaves_the_main_bin(vectors, share):
    found = mdmo(vectors, NOSE_BINS, share)
    assert (np.hypot(*found.T) <= np.linalg.norm(vectors, axis=2).max(axis=1) + 1e-9).all()
    counts = [np.bincount(main_direction(one, NOSE_BINS), minlength=4) for one in vectors]
    for one, count in zip(found, counts, strict=True):
        assume(np.hypot(*one) > 0.1)
        margin = 1e-6 * np.array([[0, 0], [-one[1], one[0]], [one[1], -one[0]]])
        assert count.argmax() in main_direction(one + margin, NOSE_BINS)


@given(st.integers(0, 10_000), st.floats(0.1, 1))
def test_a_quarter_turn_of_the_field_turns_the_nose_by_a_quarter(seed, share):
    vectors = np.random.default_rng(seed).normal(size=(13, 2))  # none on an edge
    counts = np.sort(np.bincount(main_direction(vectors, NOSE_BINS), minlength=4))
    assume(counts[-1] > counts[-2])
    x, y = mdmo(vectors, NOSE_BINS, share)
    turned = np.stack([-vectors[:, 1], vectors[:, 0]], axis=-1)
    assert mdmo(turned, NOSE_BINS, share) == pytest.approx([-y, x], abs=1e-9)


# --- a field of a face ----------------------------------------------------------------------------------------------


def in_crop(size: int) -> np.ndarray:
    """The 68 landmarks of an average face in a crop, px."""
    return (face.MEAN_FACE + np.array([128, 72])) * size / 256


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_head_is_subtracted_and_units_are_of_the_face(size):
    flow = np.zeros((size, size, 2), np.float32)
    flow[:] = np.array([2.0, -1.0]) * size / 256  # 2 u to the right, 1 u up
    brow = in_crop(size)[19].round().astype(int)
    radius = size // 16
    flow[brow[1] - radius : brow[1] + radius + 1, brow[0] - radius : brow[0] + radius + 1, 1] -= (
        3 * size / 256
    )
    regions, nose = region_mdmo(flow, in_crop(size), MdmoRecipe())
    assert nose == pytest.approx([2, -1])
    left = regions - nose
    assert left[POINTS.index(19)] == pytest.approx([0, -3], abs=1e-5)
    untouched = [POINTS.index(p) for p in (25, 30, 48, 51, 54, 57)]
    assert np.abs(left[untouched]).max() < 1e-5


def test_a_region_beyond_the_border_repeats_it():
    flow = np.random.default_rng(0).normal(size=(64, 64, 2)).astype(np.float32)
    landmarks = in_crop(64)
    landmarks[57] = [200, 63]
    vectors = region_vectors(flow, landmarks, 8.0)
    assert vectors.shape == (12, 25, 2)
    corner = vectors[POINTS.index(57)].reshape(5, 5, 2)
    assert np.array_equal(corner, np.repeat(flow[[61, 62, 63, 63, 63], 63][:, None], 5, axis=1))


# --- a face that moves ----------------------------------------------------------------------------------------------


def tracked(count, size=1.0, brow=None, head=None, scenes=None, step=1):
    """A textured face of `size` px per u: its left brow raised by `brow` (T,) u, moved by `head` (T, 2) u."""
    side = round(300 * size)
    grey = np.random.default_rng(1).uniform(0, 255, (150, 150)).astype(np.float32)
    grey = cv2.resize(cv2.GaussianBlur(grey, (0, 0), 1.5), (side, side), interpolation=cv2.INTER_CUBIC)
    grey = cv2.normalize(grey, None, 20, 235, cv2.NORM_MINMAX)
    landmarks = (face.MEAN_FACE + np.array([150, 90])) * size
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    x, y = landmarks[19]
    near = np.exp(-0.5 * (((columns - x) / (25 * size)) ** 2 + ((rows - y) / (18 * size)) ** 2))
    for number in range(count):
        up = 0.0 if brow is None else brow[number]
        dx, dy = (0.0, 0.0) if head is None else np.asarray(head[number]) * size
        image = cv2.remap(
            grey,
            columns - np.float32(dx),
            rows - np.float32(dy) + (up * size * near).astype(np.float32),
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        scene = 0 if scenes is None else scenes[number]
        image = np.clip(image, 0, 255).astype(np.uint8)
        yield Tracked(number * step, image, (landmarks + np.array([dx, dy])).astype(np.float32), scene, 0.0)


def raised(count=30):
    return 3 * np.exp(-0.5 * ((np.arange(count) - count / 2) / 4) ** 2)


@pytest.mark.parametrize("key_s", [0.0, 0.5])
@pytest.mark.parametrize("size", [0.8, 2.0])
def test_a_raised_brow_moves_by_its_length_in_u_at_any_face_size(size, key_s):
    head = np.stack([np.sin(np.arange(30) / 5), np.cos(np.arange(30) / 7)], axis=1)
    motion, seen = measure_tracked(tracked(30, size, raised(), head), 30.0, 30, MdmoRecipe(key_s=key_s))
    assert seen
    assert motion.known.tolist() == [False] + [True] * 29
    shifts = motion.shifts()
    up = -shifts[:, POINTS.index(19), 1]
    assert up.argmax() == pytest.approx(15, abs=1)
    assert 1.7 < up.max() < 3.5  # dense flow smooths what moves alone
    assert abs(up[-1]) < 0.8
    assert np.abs(shifts[:, POINTS.index(25)]).max() < 1.0


def test_at_200_fps_the_same_movement_is_as_large():
    recipe = MdmoRecipe()
    slow, _ = measure_tracked(tracked(30, brow=raised()), 30.0, 30, recipe)
    fast, _ = measure_tracked(tracked(30, brow=raised(), step=7), 200.0, 210, recipe)
    assert fast.frames.tolist() == list(range(0, 210, 7))
    assert np.abs(fast.shifts() - slow.shifts()).max() < 0.5


def test_steps_add_up_to_where_the_key_frames_say_it_is():
    motion, _ = measure_tracked(tracked(40, brow=raised(40)), 30.0, 40, MdmoRecipe(key_s=0.2))
    keys = np.unique(motion.since[motion.known])
    assert keys.tolist() == [0, 6, 12, 18, 24, 30, 36]
    shifts, moved = motion.shifts(), motion.moved()
    for t in range(1, 40):
        assert shifts[t] == pytest.approx(shifts[motion.since[t]] + moved[t], abs=1e-5)


def test_between_neighbours_the_steps_are_what_moved():
    motion, _ = measure_tracked(tracked(8, brow=raised(8)), 30.0, 8, MdmoRecipe(key_s=0.0))
    assert motion.since.tolist() == [-1, 0, 1, 2, 3, 4, 5, 6]
    assert np.array_equal(motion.steps()[1:], motion.moved()[1:])


def test_nothing_is_known_across_a_cut_a_gap_or_a_lost_face():
    cut, _ = measure_tracked(tracked(12, scenes=[0] * 6 + [1] * 6), 30.0, 12, MdmoRecipe())
    assert np.flatnonzero(~cut.known).tolist() == [0, 6]
    gap, _ = measure_tracked((f for f in tracked(20) if not 5 <= f.t <= 9), 30.0, 20, MdmoRecipe())
    assert np.flatnonzero(~gap.known).tolist() == [0, 5, 6, 7, 8, 9, 10]
    lost, _ = measure_tracked(
        (f._replace(landmarks=None) if f.t in (4, 5) else f for f in tracked(12)), 30.0, 12, MdmoRecipe()
    )
    assert np.flatnonzero(~lost.known).tolist() == [0, 4, 5, 6]
    for motion in (cut, gap, lost):
        assert np.isnan(motion.regions[~motion.known]).all()
        assert np.isfinite(motion.shifts()).all()


def test_with_no_face_nothing_is_seen():
    motion, seen = measure_tracked((f._replace(landmarks=None) for f in tracked(5)), 30.0, 5, MdmoRecipe())
    assert not seen
    assert not motion.known.any()


def test_the_motion_of_the_nose_may_be_left_in():
    frames, since = np.arange(3), np.array([-1, 0, 1])
    regions = np.full((3, 12, 2), [3.0, 1.0], np.float32)
    regions[0] = np.nan
    nose = np.array([[np.nan, np.nan], [2, 1], [2, 1]], np.float32)
    motion = MdmoMotion(frames, since, regions, nose)
    assert motion.shifts()[-1, 0].tolist() == [2, 0]
    assert motion.shifts(remove_head_motion=False)[-1, 0].tolist() == [6, 2]


# --- a video --------------------------------------------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """Ten frames of the textured face on disk, with exact landmarks beside them."""
    monkeypatch.setenv("MESPOT_CACHE", str(tmp_path / "cache"))
    folder, landmarks = tmp_path / "clip", []
    folder.mkdir()
    for one in tracked(10, brow=raised(10)):
        cv2.imwrite(str(folder / f"img{one.t + 1:05d}.png"), one.image)
        landmarks.append(one.landmarks)
    side = tmp_path / "side.npz"
    np.savez(side, frame_no=np.arange(1, 11, dtype=np.int32), landmarks=np.stack(landmarks))
    named = {"frame_prefix": "img", "pad_width": 5, "ext": ".png", "width": 300, "height": 300}
    numbers = {"first_frame_no": 1, "last_frame_no": 10, "missing": ()}
    return Video("own/p/clip", "own", "p", "clip", folder, "frames", 30.0, **numbers, **named, landmarks=side)


def test_a_video_is_measured_once(clip, monkeypatch):
    recipe = MdmoRecipe(landmarks="side")
    first = mdmo_motion(clip, recipe)
    assert first.known.sum() == 9
    monkeypatch.setattr(module, "_measured", lambda *_: pytest.fail("measured again"))
    again = mdmo_motion(clip, recipe)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True))


def test_no_face_anywhere_is_an_error_that_names_video_and_remedy(clip):
    with pytest.raises(NoFaceError, match=r"own/p/clip.*cascade.*side file"):
        mdmo_motion(clip, MdmoRecipe(landmarks="cascade"))
