"""What is left to chance in a drawn dataset, and the seeds that decide it."""

import numpy as np

from mespot_lib.interval import KINDS
from mespot_lib.synthetic.config import SyntheticConfig

# Every kind of chance draws from a stream of its own, so that no setting of one changes another: a video with
# its expressions switched off has the same head, blinks, light and noise as the video with them.
STREAMS = {
    name: number
    for number, name in enumerate(
        ("counts", "events", "rest", "blinks", "gaze", "distractors", "head", "light", "noise", "backdrop")
    )
}


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one named stream of the video (or dataset) with that seed."""
    return np.random.default_rng([seed, STREAMS[name]])


def identity_seed(config: SyntheticConfig, subject: int) -> int:
    """Return the seed of the face of a subject (0-based); faces depend on the dataset's seed alone."""
    return _derived_seed(config.seed, 1, subject)


def video_seed(config: SyntheticConfig, subject: int, video: int) -> int:
    """Return the seed of one video (both numbers 0-based)."""
    return _derived_seed(config.seed, 2, subject, video)


def _derived_seed(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def event_counts(config: SyntheticConfig) -> list[list[dict[str, int]]]:
    """Return how many expressions of each kind every video has: ``counts[subject][video][kind]``.

    The totals are rate times length exactly, each subject gets the configured fewest, and the rest follows the
    over-dispersion of the real sets (gamma-distributed subjects, hence negative-binomial counts), as far as a
    video has room.
    """
    rng = stream(config.seed, "counts")
    rates = {"ME": config.me_per_min, "MaE": config.mae_per_min}
    fewest = {"ME": config.fewest_me_per_subject, "MaE": config.fewest_mae_per_subject}
    counts = [
        [dict.fromkeys(KINDS, 0) for _ in range(config.videos_per_subject)] for _ in range(config.subjects)
    ]
    for kind in KINDS:
        leaning = rng.gamma(2.0, size=config.subjects)
        owners = [subject for subject in range(config.subjects) for _ in range(fewest[kind])]
        extra = round(rates[kind] * config.minutes) - len(owners)
        for subject in owners:
            _add_one(counts, kind, rng, config, subject_weights=np.eye(config.subjects)[subject])
        for _ in range(max(0, extra)):
            _add_one(counts, kind, rng, config, subject_weights=leaning)
    return counts


def _add_one(
    counts: list[list[dict[str, int]]],
    kind: str,
    rng: np.random.Generator,
    config: SyntheticConfig,
    subject_weights: np.ndarray,
) -> None:
    """Give one more expression to a video that has room, chosen by the weight of its subject."""
    room = np.array([[_has_room(video, config) for video in subject] for subject in counts])
    crowd = np.array([[sum(video.values()) for video in subject] for subject in counts])
    weights = room * np.asarray(subject_weights)[:, None] / (1 + crowd)  # no video takes all of its subject's
    if not weights.any():
        weights = room
    if not weights.any():
        raise ValueError(f"{config.name!r}: the videos are too short for the expressions asked for")
    chosen = rng.choice(weights.size, p=(weights / weights.sum()).ravel())
    counts[chosen // config.videos_per_subject][chosen % config.videos_per_subject][kind] += 1


def _has_room(video_counts: dict[str, int], config: SyntheticConfig) -> bool:
    """Whether one more expression of typical length fits into a video with these counts."""
    typical_s = {"ME": config.me_seconds[0] * 1.3, "MaE": config.mae_seconds[0] * 1.5}
    taken_s = sum(number * (typical_s[kind] + config.gap_s) for kind, number in video_counts.items())
    return taken_s + typical_s["MaE"] < config.seconds_per_video - 2 * config.margin_s
