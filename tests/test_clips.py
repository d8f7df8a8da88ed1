"""Clips of a long video: all of it is seen, and what lies in several clips is found once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mespot_lib.clips import clip_windows, owner, stitched

LENGTHS = st.tuples(st.integers(0, 400), st.integers(1, 60)).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.integers(0, pair[1] - 1))
)


def every_interval(total: int, longest: int) -> np.ndarray:
    return np.array(
        [(a, b) for a in range(total) for b in range(a, min(total, a + longest))], dtype=np.int64
    ).reshape(-1, 2)


@given(LENGTHS)
def test_clips_cover_the_video_and_overlap_as_asked(case):
    total, length, overlap = case
    windows = clip_windows(total, length, overlap)
    covered = np.zeros(total, dtype=bool)
    for first, last in windows:
        covered[first : last + 1] = True
    assert covered.all()
    sizes = windows[:, 1] - windows[:, 0] + 1
    assert (sizes == min(length, total)).all()
    shared = windows[:-1, 1] - windows[1:, 0] + 1
    assert (shared[:-1] == overlap).all()
    assert (shared[-1:] >= overlap).all()
    if total:
        assert windows[0, 0] == 0
        assert windows[-1, 1] == total - 1


@given(LENGTHS.filter(lambda case: case[0] <= 150), st.integers(1, 12))
def test_nothing_is_lost_or_doubled_where_clips_overlap(case, longest):
    total, length, overlap = case
    windows = clip_windows(total, length, overlap)
    everything = every_interval(total, longest)
    # every clip finds all that lies inside it
    found = [
        (number, one)
        for number, (first, last) in enumerate(windows)
        for one in everything[(everything[:, 0] >= first) & (everything[:, 1] <= last)]
    ]
    clip = np.array([number for number, _ in found], dtype=np.int64)
    frames = np.array([one for _, one in found], dtype=np.int64).reshape(-1, 2)
    kept = [tuple(one) for one in frames[stitched(frames, clip, windows)]]
    assert len(set(kept)) == len(kept)
    assert set(kept) == {tuple(one) for one in frames}
    short = everything[everything[:, 1] - everything[:, 0] + 1 <= overlap + 1]
    assert {tuple(one) for one in short if one[1] - one[0] < min(length, total)} <= set(kept)


def test_a_short_video_is_one_short_clip():
    assert clip_windows(7, 100, 20).tolist() == [[0, 6]]
    assert clip_windows(100, 100, 20).tolist() == [[0, 99]]
    assert clip_windows(101, 100, 20).tolist() == [[0, 99], [1, 100]]
    assert clip_windows(0, 100, 20).shape == (0, 2)


def test_an_interval_in_no_clip_has_no_owner():
    windows = clip_windows(300, 100, 20)
    assert owner(np.array([[70, 110], [85, 90], [95, 98]]), windows).tolist() == [-1, 0, 1]
    assert owner(np.array([[0, 1]]), np.empty((0, 2), dtype=np.int64)).tolist() == [-1]


def plain_owner(onset: int, offset: int, windows: np.ndarray) -> int:
    """The rule as it is written, clip by clip."""
    containing = [
        (abs(onset + offset - first - last), number)
        for number, (first, last) in enumerate(windows.tolist())
        if first <= onset and offset <= last
    ]
    return min(containing)[1] if containing else -1


@given(
    LENGTHS.filter(lambda case: case[0] > 0),
    st.lists(st.tuples(st.integers(0, 450), st.integers(0, 80)), max_size=20),
)
def test_the_owner_is_the_clip_with_the_nearest_middle(case, spans):
    windows = clip_windows(*case)
    frames = np.array([(a, a + more) for a, more in spans], dtype=np.int64).reshape(-1, 2)
    assert owner(frames, windows).tolist() == [plain_owner(a, b, windows) for a, b in frames.tolist()]


@pytest.mark.parametrize(("length", "overlap"), [(10, 10), (10, -1), (0, 0)])
def test_impossible_overlaps_are_refused(length, overlap):
    with pytest.raises(ValueError, match="cannot overlap"):
        clip_windows(100, length, overlap)
