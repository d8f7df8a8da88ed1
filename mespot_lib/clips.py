"""Clips of a long video: where they lie, and what is found in several of them, once.

    video     |---------------------------------------------|
    clips     [===============]
                        [===============]                        neighbours overlap
                                  [===============]
                                         (              )        no longer fits:
                                    [===============]            moved back to end with the video

An interval that is at most one frame longer than the overlap lies wholly inside some clip. One that lies inside several
belongs to the clip in whose middle it is most. That rule looks at places alone, not at what a network says of them, so
each place is found once, whatever the clips have seen.
"""

import numpy as np


def clip_windows(total: int, length: int, overlap: int) -> np.ndarray:
    """Return first and last frame of the clips, (K, 2) int64, in order; neighbours share `overlap` frames.

    The last clip is moved back to end with the video, so it shares more; a video shorter than `length` is one clip.

    Raises
    ------
    ValueError
        Unless 0 <= overlap < length.

    >>> clip_windows(10, 5, 2).tolist()
    [[0, 4], [3, 7], [5, 9]]
    """
    if not 0 <= overlap < length:
        raise ValueError(f"clips of {length} frames cannot overlap by {overlap}")
    if total <= 0:
        return np.empty((0, 2), dtype=np.int64)
    count = 1 + max(0, -(-(total - length) // (length - overlap)))
    first = np.minimum(np.arange(count) * (length - overlap), max(0, total - length))
    return np.column_stack([first, np.minimum(first + length, total) - 1])


def owner(frames: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return to which clip each interval belongs, (N,) int64; -1 where none contains it.

    frames : (N, 2) onset and offset; windows : (K, 2) as of `clip_windows`. Of the clips that contain an interval it
    belongs to the one whose middle is nearest to its own, of two equally near ones to the earlier.

    >>> owner(np.array([[0, 1], [3, 4], [4, 5], [2, 9]]), clip_windows(10, 5, 2)).tolist()
    [0, 0, 1, -1]
    """
    if not len(windows):
        return np.full(len(frames), -1)
    # the clips are in order, so those that contain an interval are neighbours: from `low` to `high`, or none
    low = np.searchsorted(windows[:, 1], frames[:, 1])
    high = np.searchsorted(windows[:, 0], frames[:, 0], "right") - 1
    middles, middle = windows.sum(axis=1), frames.sum(axis=1)  # twice as far on
    after = np.searchsorted(middles, middle).clip(0, len(windows) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(middle - middles[before] <= middles[after] - middle, before, after)
    return np.where(low <= high, nearest.clip(low, high), -1)


def stitched(frames: np.ndarray, clip: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return which of the intervals found in clips stay, (N,) bool: those in the clip that they belong to.

    frames : (N, 2) on the video's axis; clip : (N,) the clip each was found in.
    """
    return owner(frames, windows) == clip
