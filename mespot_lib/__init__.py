"""mespot: spotting facial micro- and macro-expressions in long videos.

The modules in the order in which data flows; each imports only from those above it.

    places       where data, caches and reports lie
    interval     Interval: onset to offset, both included, with a kind; the only interval arithmetic
    archive      zip archives of unknown origin: what speaks against unpacking one
    manifest     the videos and events of a dataset as tables; frame numbers to the frame axis; folds
    video_file   video files: their frames by time stamps, and the pictures of these frames
    datasets     readers of the datasets' own folders and workbooks; named fix policies
    synthetic    drawn faces, muscles, head and camera, written in the datasets' own layouts
    catalogue    datasets by name
    withheld     what was drawn in the unseen sets, to score by
    statistics   durations, rates and action units of a dataset, beside the published ones
    frames       streaming access to frame folders and video files
    face         detection, landmarks, alignment, crops
    tracking     one face followed through a stream of frames
    features     contrast, flow, strain, head motion, regions; the cache on disk
    stills       pictures of expressions in classes, drawn or of AffectNet
    spot         score curve to peaks, runs, intervals; merging, non-maximum suppression
    profiles     the rules of counting: the challenge's, and those of the public evaluators
    metrics      matching, counts that add, chance, uncertainty
    curves       score curves of both kinds to intervals, and the thresholds for it
    contrast     where a curve stands out of its surroundings, and thresholds between its mean and maximum
    clips        clips of a long video, and what is found in several of them, once
    proposals    proposals of two stages to intervals; all thresholds swept at once
    anchors      what trivial and ideal methods score
    mistakes     in which way an interval is wrong
    evaluation   all that is said about one scoring, in one record
    held_out     videos spotted by what was fitted on other people
    train        the optimiser loop of all learned methods, its seeds and checkpoints
    inception    I3D, a network for clips, and files of its weights
    pyramid      features of several durations, fused: FPN, PANet, BiFPN
    methods      one paper, one file
    user_video   any video of one's own: one pass, intervals, and what was not seen
    strips       a spotted expression from near
    claims       what the papers report, and where it contradicts itself
    runs         one run: a notebook on a fold, its key, its result files
    cluster      where the tasks of a sweep are done: this machine's processes, or any cluster that dask knows
    progress     how far a sweep is, as a live table
    sweep        many runs over workers: what is to be run and why, in which order, and what became of it
    viz          drawings of every stage, on given axes
    respot       finished folds spotted again with other settings
    explore      the threshold explorer: the same under sliders, with linked views
    explore_page the explorer as a page of its own, served by Voila
    ranks        average ranks of methods over subjects, and how far apart they must be
    report       finished runs pooled over folds, as numbers
    comparison   methods beside each other on the same subjects, and beside the papers' claims
    charts       drawings of finished runs, on given axes
    look         head, style, tables and figures of a page
    page         finished runs as one page to look at
    spot_page    what was spotted in one video: tables, figures and a page
    challenge    the files of the Grand Challenges and the rules they must keep
    submit       such files written from what was spotted
    leaderboard  such files scored with the withheld truth, and the table of a challenge
    cli          the `mespot` command

Letters in shapes: T frames of a video, N samples or intervals, R regions, H W pixels, S edge of a square crop,
C channels, K kinds. Lengths on the face are in face units (u): 1 u is 1/64 of the distance between the inner eye
corners, one pixel of a face crop 256 px wide.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # looked up when it is asked for, so that `import mespot_lib` stays quick
    if name == "spot_video":
        from mespot_lib.user_video import spot_video

        return spot_video
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
