"""Counting rules: golden cases drawn by hand, a brute-force reference, and properties that must hold for any input."""

import collections
import itertools
import json
import random
import re
import time
import timeit
from dataclasses import replace
from pathlib import Path

import numpy as np
import plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mespot_lib.interval import KINDS, Interval, iou
from mespot_lib.metrics import (
    PARTS,
    T_EVALS,
    Counts,
    CountsApart,
    Difference,
    MetricError,
    Score,
    average_precision,
    bootstrap_f1,
    boundary_errors_ms,
    chance,
    fp_per_minute,
    grid,
    match,
    of_part,
    paired_bootstrap,
    pool,
    score,
)
from mespot_lib.profiles import BY_DURATION, PROFILES

CASES = sorted((Path(__file__).parent / "cases" / "metrics").rglob("*.json"))
EDGES = sorted((Path(__file__).parent / "cases" / "metrics_of_every_profile").glob("*.json"))


@st.composite
def spans(draw, most=5, last=30):
    found = []
    for _ in range(draw(st.integers(0, most))):
        onset, offset = sorted((draw(st.integers(0, last)), draw(st.integers(0, last))))
        found.append(Interval(onset, offset, draw(st.sampled_from(KINDS))))
    return found


videos = st.fixed_dictionaries({"a": spans(), "b": spans(), "c": spans()})
thresholds = st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0])


@st.composite
def scored_spans(draw):
    """Spans with few different scores, so that equal ones are frequent."""
    return [replace(span, score=draw(st.sampled_from([0.2, 0.7, 0.7]))) for span in draw(spans())]


scored_videos = st.fixed_dictionaries({"a": scored_spans(), "b": scored_spans()})


# ---------------------------------------------------------------------------------------------------------------------
# Golden cases


def test_there_are_golden_cases_of_every_profile():
    of_profile = collections.Counter(json.loads(path.read_text()).get("profile", "megc") for path in CASES)
    assert set(of_profile) == set(PROFILES)
    assert of_profile["megc"] >= 16
    assert min(of_profile.values()) >= 4
    assert len(EDGES) >= 13


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_case(path):
    case = json.loads(path.read_text())
    truth, spotted = sides_of(case)
    profile = case.get("profile", "megc")
    result = score(truth, spotted, case["t_eval"], profile, fps=case.get("fps", 30))
    expected = {
        part: (CountsApart if "right" in counts else Counts)(**counts)
        for part, counts in case["expected"].items()
    }
    expected.setdefault("overall", expected["ME"] + expected["MaE"])
    assert {part: result[part] for part in PARTS} == expected
    if profile != "megc":
        megc = score(truth, spotted, case["t_eval"]).overall.f1
        change = np.sign(result.overall.f1 - megc)
        assert {1: "up", 0: "same", -1: "down"}[change] == case["against_megc"]
        assert case["why"].endswith(f"{case['against_megc']}.")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("path", EDGES, ids=lambda path: path.stem)
def test_edge_under_every_profile(path, profile):
    case = json.loads(path.read_text())
    expected = case["expected"][profile]
    result = score(*sides_of(case), profile=profile)
    assert result.ME == result.overall == (CountsApart if profile == "mesnet" else Counts)(**expected)


def sides_of(case):
    """Return truth and spotted of a case, which its drawing must show as well."""
    sides = {
        side: {
            video: [Interval(on, off, kind) for kind, on, off in rows] for video, rows in case[side].items()
        }
        for side in ("truth", "spotted")
    }
    assert sides == drawn(case["timeline"]), "the drawing shows something else"
    return sides["truth"], sides["spotted"]


def drawn(timeline):
    """Read the intervals of a drawing: [===] is an interval, | one of a single frame."""
    sides = {"truth": {}, "spotted": {}}
    for line in timeline:
        video, side, kind, frames = line.split()
        found = sides[side].setdefault(video, [])
        found += [Interval(m.start(), m.end() - 1, kind) for m in re.finditer(r"\[=*]|\|", frames)]
    return sides


# ---------------------------------------------------------------------------------------------------------------------
# Matching


def most_pairs(truth, spotted, t_eval):
    """Size of the largest matching, found by trying every assignment."""
    few, many = sorted((truth, spotted), key=len)
    return max(
        sum(a.kind == b.kind and iou(a, b) >= t_eval for a, b in zip(few, chosen, strict=True))
        for chosen in itertools.permutations(many, len(few))
    )


@settings(max_examples=300)
@given(spans(last=12), spans(last=12), thresholds)
def test_matching_is_as_large_as_brute_force_finds(truth, spotted, t_eval):
    pairs = match(truth, spotted, t_eval)
    assert len(pairs) == most_pairs(truth, spotted, t_eval)
    assert len({t for t, _ in pairs}) == len({s for _, s in pairs}) == len(pairs)
    for t, s in pairs:
        assert truth[t].kind == spotted[s].kind
        assert iou(truth[t], spotted[s]) >= t_eval


@given(videos, videos, thresholds)
def test_scoring_all_videos_at_once_equals_one_by_one(truth, spotted, t_eval):
    result = score(truth, spotted, t_eval)
    for video in truth:
        pairs = match(truth[video], spotted[video], t_eval)
        for kind in KINDS:
            n_true, n_spotted = (sum(s.kind == kind for s in side[video]) for side in (truth, spotted))
            tp = sum(truth[video][t].kind == kind for t, _ in pairs)
            assert result.videos[video][kind] == Counts(tp, n_spotted - tp, n_true - tp)
    assert result.overall == sum((one.overall for one in result.videos.values()), Counts())


@pytest.mark.parametrize("t_eval", [round(0.05 * step, 2) for step in range(1, 20)])
def test_a_hit_on_the_threshold_does_not_hang_on_rounding(t_eval):
    # 20 true frames, of which 20 * t_eval are spotted: IoU is exactly t_eval, however the float was computed
    truth, spotted = {"a": [Interval(0, 19, "ME")]}, {"a": [Interval(0, round(20 * t_eval) - 1, "ME")]}
    for value in (t_eval, np.float64(t_eval), np.nextafter(t_eval, 2), np.nextafter(t_eval, 0)):
        assert score(truth, spotted, value)["ME"] == Counts(1, 0, 0)
    assert score(truth, spotted, t_eval + 0.01)["ME"] == Counts(0, 1, 1)


# ---------------------------------------------------------------------------------------------------------------------
# Profiles


def of_kind(spans, kind):
    return [span for span in spans if span.kind == kind]


def in_plain_python(profile, true, found, t_eval, longest):
    """Counts of one video: ME, MaE and, for zhang2020, both together."""
    if profile in ("lgsnet", "qin"):
        each = plain.by_duration(true, found, t_eval, longest, one=profile == "lgsnet")
        return [each[kind] for kind in KINDS]
    if profile == "zhang2020":
        parts = [(of_kind(true, kind), of_kind(found, kind)) for kind in KINDS]
        return [plain.zhang2020(*part, t_eval) for part in [*parts, (true, found)]]
    if profile in ("softnet", "slswin"):
        rows = {kind: [(s.onset, s.offset, s.score) for s in of_kind(found, kind)] for kind in KINDS}
        strictly = profile == "slswin"
        return [plain.softnet(of_kind(true, kind), rows[kind], t_eval, strictly) for kind in KINDS]
    count = {"abpn": plain.abpn, "megc2020": plain.megc2020}[profile]
    return [count(of_kind(true, kind), of_kind(found, kind), t_eval) for kind in KINDS]


@pytest.mark.parametrize("profile", ["zhang2020", "megc2020", "softnet", "slswin", "lgsnet", "qin", "abpn"])
@settings(max_examples=200)
@given(scored_videos, scored_videos, thresholds)
def test_profile_counts_as_loops_do(profile, truth, spotted, t_eval):
    result = score(truth, spotted, t_eval, profile, fps=16)
    for video in truth:
        expected = in_plain_python(profile, truth[video], spotted[video], t_eval, longest=8)
        one = result.videos[video]
        assert [one[part] for part in PARTS[: len(expected)]] == [Counts(*row) for row in expected]
    assert result.overall == sum((one.overall for one in result.videos.values()), Counts())


@pytest.mark.parametrize("profile", PROFILES)
@given(scored_videos, scored_videos, thresholds, st.data())
def test_the_score_of_some_videos_is_that_of_scoring_them_alone(profile, truth, spotted, t_eval, data):
    some = data.draw(st.lists(st.sampled_from(sorted(truth)), unique=True, min_size=1))
    alone = score(*({video: side[video] for video in some} for side in (truth, spotted)), t_eval, profile)
    together = score(truth, spotted, t_eval, profile).of_videos(some)
    assert [together[part] for part in PARTS] == [alone[part] for part in PARTS]
    assert not together.videos


@settings(max_examples=200)
@given(scored_videos, scored_videos, thresholds)
def test_profiles_move_the_score_in_the_direction_they_say(truth, spotted, t_eval):
    f1 = {name: score(truth, spotted, t_eval, name).overall.f1 for name in PROFILES}
    slack = 1e-12
    assert f1["abpn"] <= f1["megc"] + slack
    assert f1["megc"] <= min(f1["mesnet"], f1["class_agnostic"]) + slack
    assert f1["class_agnostic"] <= f1["lgsnet"] + slack
    assert f1["qin"] <= f1["lgsnet"] + slack
    assert f1["slswin"] <= f1["softnet"] + slack


@pytest.mark.parametrize("profile", PROFILES)
@given(scored_videos, scored_videos, thresholds, st.randoms(use_true_random=False))
def test_order_of_rows_and_videos_changes_nothing(profile, truth, spotted, t_eval, rng: random.Random):
    shuffled = [
        {video: rng.sample(side[video], len(side[video])) for video in rng.sample(list(side), len(side))}
        for side in (truth, spotted)
    ]
    assert score(*shuffled, t_eval, profile) == score(truth, spotted, t_eval, profile)


# The others look at the first frame, at scores, or take the earlier of two equally good intervals.
@pytest.mark.parametrize("profile", ["megc", "mesnet", "class_agnostic", "megc2020", "lgsnet", "qin"])
@given(videos, videos, thresholds)
def test_mirrored_time_gives_the_same_counts(profile, truth, spotted, t_eval):
    mirrored = [
        {video: [Interval(30 - s.offset, 30 - s.onset, s.kind) for s in side[video]] for video in side}
        for side in (truth, spotted)
    ]
    assert score(*mirrored, t_eval, profile) == score(truth, spotted, t_eval, profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_gives_one_to_a_perfect_result_and_zero_to_none(profile):
    truth = {"a": [Interval(10, 20, "ME"), Interval(60, 99, "MaE")], "b": [Interval(5, 16, "ME")]}
    assert score(truth, truth, profile=profile).overall.f1 == 1.0
    nothing = {"a": [], "b": []}
    for sides in ((truth, nothing), (nothing, truth), (nothing, nothing), ({}, {})):
        assert score(*sides, profile=profile).overall.f1 == 0.0
    assert score(truth, nothing, profile=profile).overall.fn == 3


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_names_a_video_on_one_side_or_counts_it(profile):
    truth, spotted = {"a": [Interval(8, 19, "ME")], "b": []}, {"a": [Interval(8, 19, "ME")]}
    extra = {"a": [Interval(8, 19, "ME")], "c": [Interval(8, 19, "ME")]}
    with pytest.raises(MetricError, match="only truth has video b"):
        score(truth, spotted, profile=profile)
    with pytest.raises(MetricError, match="only spotted has video c"):
        score(spotted, extra, profile=profile)
    left_out = profile in ("softnet", "slswin")  # no ME is true in c
    assert score(spotted, extra, profile=profile, allow_missing=True).ME.fp == (0 if left_out else 1)
    assert score(extra, spotted, profile=profile, allow_missing=True).ME.fn == 1


@pytest.mark.parametrize(
    "profile", ["megc", "mesnet", "class_agnostic", "megc2020", "softnet", "slswin", "abpn"]
)
@given(scored_videos, scored_videos, thresholds)
def test_pooled_values_lie_between_their_parts(profile, truth, spotted, t_eval):
    result = score(truth, spotted, t_eval, profile)
    ratios = {"precision": lambda c: c.right + c.fp, "recall": lambda c: c.tp + c.fn}
    if profile != "mesnet":  # it pools two numerators
        ratios["f1"] = lambda c: 2 * c.tp + c.fp + c.fn
    for ratio, base in ratios.items():
        parts = [result[kind] for kind in KINDS if base(result[kind])]
        if parts:
            values = [getattr(part, ratio) for part in parts]
            assert min(values) - 1e-12 <= getattr(result.overall, ratio) <= max(values) + 1e-12


def test_pooled_f1_of_mesnet_may_leave_its_parts():
    precise, complete = CountsApart(1, 0, 9, right=10), CountsApart(10, 9, 0, right=1)
    assert (precise + complete).f1 > max(precise.f1, complete.f1)


def test_pooled_counts_give_the_published_values_of_lgsnet():
    # 129 MaE and 2 ME found, 207 MaE and 1 ME spotted, 300 MaE and 57 ME true
    me, mae = Counts(2, 1 - 2, 57 - 2), Counts(129, 207 - 129, 300 - 129)
    overall = me + mae
    assert me.precision == 2.0
    assert (overall.precision, overall.recall) == pytest.approx((0.629808, 0.366947), abs=1e-6)
    assert overall.f1 == pytest.approx(0.463717, abs=1e-6)


def test_perfect_mae_without_any_me_scores_above_nine_tenths():
    # as many ME and MaE as CAS(ME)^2 holds
    spans = [Interval(100 * i, 100 * i + 10, "ME") for i in range(57)]
    spans += [Interval(100 * i + 40, 100 * i + 80, "MaE") for i in range(300)]
    result = score({"a": spans}, {"a": of_kind(spans, "MaE")})
    assert (result.ME.f1, result.MaE.f1) == (0.0, 1.0)
    assert result.overall.f1 == pytest.approx(600 / 657) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize("profile", BY_DURATION)
def test_frame_rate_of_each_video_decides_its_kinds(profile):
    same = {"slow": [Interval(0, 50, "ME")], "fast": [Interval(0, 50, "ME")]}
    result = score(same, same, profile=profile, fps={"slow": 30, "fast": 200})
    assert (result.videos["slow"].MaE.tp, result.videos["fast"].ME.tp) == (1, 1)
    assert score(same, same, profile=profile, fps=200).ME.tp == 2
    with pytest.raises(MetricError, match="frame rate of video fast is not known"):
        score(same, same, profile=profile, fps={"slow": 30})


@pytest.mark.parametrize("fps", [0, -30, float("nan"), float("inf")])
def test_frame_rates_are_positive_numbers(fps):
    with pytest.raises(MetricError, match=f"fps must be a positive number, got {fps:g}"):
        score({"a": [], "b": []}, {"a": [], "b": []}, fps={"a": 0.5, "b": fps})
    assert score({"a": []}, {"a": []}, fps=0.5) == score({"a": []}, {"a": []})  # a frame in two seconds


@pytest.mark.parametrize(("early", "late", "pairs"), [(0.9, 0.1, 1), (0.1, 0.9, 2), (0.5, 0.5, 1)])
def test_in_softnet_the_higher_score_chooses_first(early, late, pairs):
    # frames       0123456789012
    # truth        ..[=====].....
    # truth        ....[======]..
    # early        ...[======]...    hits both, the lower one better
    # late         .......[====].    hits the lower one only
    truth = {"a": [Interval(2, 8, "MaE"), Interval(4, 11, "MaE")]}
    spotted = {"a": [Interval(3, 10, "MaE", score=early), Interval(7, 12, "MaE", score=late)]}
    assert score(truth, spotted, profile="softnet").MaE == Counts(pairs, 2 - pairs, 2 - pairs)
    area = average_precision(truth, spotted)["MaE"]
    assert area == (None if early == late else pairs / 2)


def test_what_is_found_without_being_spotted_has_no_f1():
    # as in lgsnet and qin, where the one spotted interval is an MaE by duration: precision is 1 / 0
    found = Counts(1, -1, 0)
    assert (found.precision, found.recall, found.f1) == (0.0, 1.0, 0.0)


def test_counts_apart_add_and_pool():
    both = CountsApart(1, 0, 2, right=3) + Counts(1, 1, 1)
    assert both == CountsApart(2, 1, 3, right=4)
    assert both == Counts(1, 1, 1) + CountsApart(1, 0, 2, right=3)
    assert (both.precision, both.recall) == (4 / 5, 2 / 5)
    assert both.f1 == pytest.approx(2 * 2 * 4 / (2 * 5 + 4 * 5))
    assert both.as_dict()["right"] == 4
    videos_of = {"1": Score(Counts(1), Counts(), together=Counts(5)), "2": Score(Counts(1), Counts(2))}
    assert pool(videos_of, {"1": "s", "2": "s"})["s"].overall == Counts(8)


# ---------------------------------------------------------------------------------------------------------------------
# Grids


@settings(max_examples=30)
@given(scored_videos, scored_videos)
def test_a_grid_is_suppression_and_scoring_for_each_pair_of_thresholds(truth, spotted):
    cells = grid(truth, spotted, (0.3, 0.5), (None, 0.2, 0.6))
    assert list(cells) == [(n, e) for n in (None, 0.2, 0.6) for e in (0.3, 0.5)]
    for (t_nms, t_eval), found in cells.items():
        left = {v: s if t_nms is None else plain.nms(s, t_nms) for v, s in spotted.items()}
        expected = plain.megc(truth, left, t_eval)
        assert {kind: found[kind] for kind in KINDS} == {k: Counts(*row) for k, row in expected.items()}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_grid_is_without_the_videos(profile):
    spotted = {"a": [Interval(0, 9, "ME")]}
    (one,) = grid(spotted, spotted, (0.5,), profile=profile).values()
    assert (one.videos, one.overall.f1) == ({}, 1.0)


def test_a_grid_knows_the_other_profiles():
    truth = {"a": [Interval(0, 9, "ME")]}
    spotted = {"a": [Interval(0, 9, "ME", score=0.9), Interval(0, 8, "ME", score=0.8)]}
    cells = grid(truth, spotted, (0.5,), (None, 0.5), "mesnet")
    assert CountsApart(1, 0, 0, right=2) == cells[None, 0.5].ME
    assert CountsApart(1, 0, 0, right=1) == cells[0.5, 0.5].ME
    assert len(grid(truth, spotted)) == 19
    with pytest.raises(MetricError, match="unknown profile"):
        grid(truth, spotted, profile="mean")


def large_result(seed=0):
    """True and spotted intervals as many as in CAS(ME)^2: 98 videos of together 254,000 frames."""
    rng = np.random.default_rng(seed)

    def drawn_at_random(total):
        found = {f"v{number:02d}": [] for number in range(98)}
        for number in range(total):
            kind = "ME" if rng.random() < 57 / 357 else "MaE"
            length = int(rng.integers(*((8, 17) if kind == "ME" else (17, 80))))
            onset = int(rng.integers(0, 254_000 // 98 - length))
            span = Interval(onset, onset + length - 1, kind, score=float(rng.random()))
            found[f"v{number % 98:02d}"].append(span)
        return found

    return drawn_at_random(357), drawn_at_random(28_000)


@pytest.mark.slow
def test_a_grid_of_a_large_result_takes_seconds_and_a_cell_milliseconds():
    truth, spotted = large_result()

    def seconds(work, times):
        return min(timeit.repeat(work, number=1, repeat=times))

    whole = seconds(lambda: grid(truth, spotted, t_nms=T_EVALS), 3)
    cell = seconds(lambda: grid(truth, spotted, (0.5,), (0.5,)), 5)
    start = time.perf_counter()
    expected = plain.megc(truth, {v: plain.nms(spans, 0.5) for v, spans in spotted.items()}, 0.5)
    in_loops = time.perf_counter() - start
    found = grid(truth, spotted, (0.5,), (0.5,))[0.5, 0.5]
    assert {kind: found[kind] for kind in KINDS} == {k: Counts(*row) for k, row in expected.items()}
    print(
        f"\n19 x 19 grid {whole:.2f} s, one cell {1000 * cell:.0f} ms; the cell in loops {in_loops:.1f} s: "
        f"{in_loops / cell:.0f} times as long, a grid of such cells {361 * in_loops / whole:.0f} times"
    )
    assert whole < 2
    assert cell < 0.05
    assert in_loops > 10 * cell


# ---------------------------------------------------------------------------------------------------------------------
# Properties of the score


@given(videos, videos)
def test_f1_is_one_only_if_perfect(truth, spotted):
    at_one = score(truth, spotted, t_eval=1.0)
    same = all(sorted(truth[v]) == sorted(spotted[v]) for v in truth) and any(truth.values())
    assert (at_one.overall.f1 == 1.0) == same
    itself = score(truth, truth)
    assert itself.overall.f1 == float(any(truth.values()))
    assert itself.overall.fp == itself.overall.fn == 0


@given(videos, videos, thresholds)
def test_nothing_true_or_spotted_is_lost(truth, spotted, t_eval):
    result = score(truth, spotted, t_eval)
    assert result.overall.tp + result.overall.fn == sum(map(len, truth.values()))
    assert result.overall.tp + result.overall.fp == sum(map(len, spotted.values()))


def test_ratios_and_their_zero_conventions():
    assert Counts(3, 1, 2).as_dict() == {
        "tp": 3,
        "fp": 1,
        "fn": 2,
        "precision": 0.75,
        "recall": 0.6,
        "f1": pytest.approx(2 / 3),
    }
    for nothing in (Counts(0, 0, 0), Counts(0, 5, 0), Counts(0, 0, 5)):
        assert (nothing.precision, nothing.recall, nothing.f1) == (0.0, 0.0, 0.0)


def test_scores_are_read_by_part():
    result = Score(Counts(1, 2, 3), Counts(4, 5, 6))
    assert [result[part] for part in PARTS] == [Counts(1, 2, 3), Counts(4, 5, 6), Counts(5, 7, 9)]
    assert set(result.as_dict()) == {"ME", "MaE", "overall"}
    with pytest.raises(KeyError, match="videos"):
        result["videos"]


def test_a_video_on_one_side_only_is_named():
    truth, spotted = {"a": [Interval(0, 1, "ME")], "b": []}, {"a": [], "c": [Interval(0, 1, "MaE")]}
    with pytest.raises(MetricError, match="only truth has video b"):
        score(truth, spotted)
    with pytest.raises(MetricError, match="only spotted has video c"):
        score({"a": []}, spotted)
    for also in (grid, average_precision):
        with pytest.raises(MetricError, match="only truth has video b"):
            also(truth, spotted)
        also(truth, spotted, allow_missing=True)
    allowed = score(truth, spotted, allow_missing=True)
    assert (allowed.ME, allowed.MaE) == (Counts(0, 0, 1), Counts(0, 1, 0))
    assert set(allowed.videos) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("videos", "named"), [("abcde", "a, b, c, d, e;"), ("abcdef", "a, b, c, d, e and 1 more;")]
)
def test_of_many_videos_on_one_side_five_are_named(videos, named):
    with pytest.raises(MetricError, match=f"only truth has video {named}"):
        score(dict.fromkeys(videos, ()), {})


def test_impossible_settings_are_refused():
    with pytest.raises(MetricError, match=f"unknown profile 'mean'; known: {', '.join(PROFILES)}$"):
        score({}, {}, profile="mean")
    for t_eval in (0, -0.5, 1.5, float("nan")):
        with pytest.raises(MetricError, match="t_eval must lie in"):
            score({"a": []}, {"a": []}, t_eval=t_eval)


def test_pooling_by_subject():
    scores = {
        "1": Score(Counts(1), Counts(fp=1)),
        "2": Score(Counts(fn=2), Counts()),
        "3": Score(Counts(5), Counts()),
    }
    assert pool(scores, {"1": "s1", "2": "s1", "3": "s2"}) == {
        "s1": Score(Counts(1, 0, 2), Counts(0, 1, 0)),
        "s2": Score(Counts(5), Counts()),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Beside F1


def test_false_positives_by_the_clock():
    assert fp_per_minute(Counts(fp=6), seconds=120) == 3.0
    assert fp_per_minute(Counts(fp=6), seconds=0) == 0.0


def test_boundary_errors_are_signed_and_in_milliseconds():
    truth = {"a": [Interval(10, 19, "ME"), Interval(50, 59, "ME")], "b": [Interval(0, 99, "MaE")]}
    spotted = {"a": [Interval(52, 58, "ME"), Interval(9, 22, "ME")], "b": [Interval(0, 9, "MaE")]}
    errors = boundary_errors_ms(truth, spotted, {"a": 100.0, "b": 30.0})
    assert errors.tolist() == [[-10.0, 30.0], [20.0, -10.0]]
    assert len(boundary_errors_ms(truth, spotted, {"a": 100.0, "b": 30.0}, t_eval=0.1)) == 3
    assert match(truth["b"], spotted["b"]) == [] != match(truth["b"], spotted["b"], 0.1)
    assert len(boundary_errors_ms(truth, {"a": spotted["a"]}, {"a": 100.0})) == 2  # b was not looked at
    assert boundary_errors_ms({"a": []}, {"a": []}, {"a": 30.0}).shape == (0, 2)


def test_chance_of_one_interval_is_the_share_of_its_good_places():
    # An interval of 10 frames in 100 has 91 places; IoU >= 0.5 with truth needs a shift of at most 3: 7 places.
    truth = {"a": [Interval(40, 49, "ME")]}
    result = chance({"a": [Interval(0, 9, "ME")]}, truth, {"a": 100}, draws=20_000)
    assert result["ME"].f1 == pytest.approx(7 / 91, abs=0.006)
    assert result["overall"] == result["ME"]
    assert (result["MaE"].f1, result["MaE"].high) == (0.0, 0.0)


@given(spans(most=4, last=20), st.integers(21, 120), st.integers(0, 3))
def test_random_places_keep_to_the_video_and_apart(found, length, seed):
    from mespot_lib.metrics import _place_at_random

    sizes = np.array([span.length for span in found], dtype=np.int64)
    onset = _place_at_random(sizes, length, 20, np.random.default_rng(seed))  # (draws, N)
    assert onset.shape == (20, len(found))
    assert (onset >= 0).all()
    assert (onset + sizes <= length).all()
    if sizes.sum() <= length:
        for row in onset:
            order = np.argsort(row)
            assert (row[order][1:] >= (row + sizes)[order][:-1]).all()


def test_every_arrangement_is_equally_likely():
    from mespot_lib.metrics import _place_at_random

    onset = _place_at_random(np.array([2, 1]), 5, 40_000, np.random.default_rng(0))
    _, times = np.unique(onset, axis=0, return_counts=True)
    assert len(times) == 12  # two orders x six ways to give two free frames to three gaps
    assert times == pytest.approx(40_000 / 12, rel=0.06)


def test_intervals_that_do_not_fit_beside_each_other_lie_anywhere():
    from mespot_lib.metrics import _place_at_random

    onset = _place_at_random(np.array([3, 4, 9]), 5, 400, np.random.default_rng(0))
    assert [sorted(set(column)) for column in onset.T.tolist()] == [[0, 1, 2], [0, 1], [0]]


def test_intervals_that_fill_the_video_lie_beside_each_other():
    from mespot_lib.metrics import _place_at_random

    onset = _place_at_random(np.array([3, 4]), 7, 100, np.random.default_rng(0))
    assert {tuple(row) for row in onset.tolist()} == {(0, 3), (4, 0)}


def test_chance_draws_as_often_as_it_says(monkeypatch):
    from mespot_lib import metrics

    place, drawn = metrics._random_hits, []
    monkeypatch.setattr(metrics, "_random_hits", lambda *given: drawn.append(given[3]) or place(*given))
    monkeypatch.setattr(metrics, "_MOST_PLACED", 6)
    truth = {"a": [Interval(0, 9, "ME"), Interval(20, 29, "ME")]}
    for draws in (1, 3, 7):
        drawn.clear()
        chance(truth, truth, {"a": 40}, draws=draws)
        assert sum(drawn) == draws
        assert max(drawn) <= 3
    assert chance(truth, truth, {"a": 40}) == chance(truth, truth, {"a": 40}, draws=200, seed=0)


def test_chance_is_low_repeatable_and_one_where_there_is_no_choice():
    truth = {"a": [Interval(100, 120, "ME"), Interval(300, 350, "MaE")], "b": []}
    spotted = {"a": [Interval(0, 20, "ME"), Interval(500, 550, "MaE")], "b": [Interval(7, 9, "ME")]}
    lengths = {"a": 1000, "b": 50}
    first = chance(spotted, truth, lengths, draws=300, seed=1)
    assert first == chance(spotted, truth, lengths, draws=300, seed=1)
    assert 0 < first["overall"].f1 < 0.1
    assert first["overall"].f1 <= first["overall"].high
    filling = {"a": [Interval(0, 99, "MaE")]}
    assert chance(filling, filling, {"a": 100}, t_eval=1.0)["MaE"].f1 == 1.0


def test_bootstrap_is_wide_for_unlike_subjects_and_empty_for_like_ones():
    alike = [Counts(5, 5, 5)] * 8
    assert bootstrap_f1(alike) == (0.5, 0.5)
    low, high = bootstrap_f1([Counts(9, 1, 1)] * 4 + [Counts(1, 9, 9)] * 4)
    assert 0.1 < low < 0.35 < 0.65 < high < 0.9
    assert bootstrap_f1([Counts(1, 0, 2), Counts(3, 1, 0)], seed=3) == bootstrap_f1(
        [Counts(1, 0, 2), Counts(3, 1, 0)], seed=3
    )
    unlike = [Counts(37 * n + n**3, 101 * n % 97, 211 * n % 89) for n in range(10)]
    assert bootstrap_f1(unlike) == bootstrap_f1(unlike, draws=2000, seed=0) != bootstrap_f1(unlike, seed=1)
    assert bootstrap_f1([]) == (0.0, 0.0)
    assert bootstrap_f1([Counts()]) == (0.0, 0.0)


def test_average_precision_follows_the_ranking():
    truth = {"a": [Interval(0, 9, "ME"), Interval(50, 59, "ME")], "b": [Interval(0, 99, "MaE")]}

    def with_scores(right, wrong, late, mae):
        me = [(0, right), (20, wrong), (50, late)]
        spotted = [Interval(onset, onset + 9, "ME", score=score) for onset, score in me]
        return {"a": spotted, "b": [Interval(0, 99, "MaE", score=mae)]}

    # hit, miss, hit: precision 1 up to recall 1/2, then 2/3
    area = average_precision(truth, with_scores(0.9, 0.8, 0.7, 0.5))
    assert area["ME"] == pytest.approx((1 + 2 / 3) / 2)
    assert area["MaE"] is None  # one interval is no ranking
    assert area["overall"] == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)  # 1, 1/2, 2/3, 3/4: later is better
    assert average_precision(truth, with_scores(0.9, 0.1, 0.7, 0.5))["ME"] == 1.0
    # the miss enters together with the first hit
    assert average_precision(truth, with_scores(0.9, 0.9, 0.7, 0.5))["ME"] == pytest.approx(2 / 3)
    only = {"a": [Interval(0, 9, "ME")]}
    assert (
        average_precision(only, {"a": [replace(only["a"][0], score=2), Interval(20, 29, "ME")]})["ME"] == 1.0
    )
    assert average_precision(truth, {"a": [], "b": []}) == {"ME": None, "MaE": None, "overall": None}
    assert average_precision({"a": [], "b": []}, with_scores(0.9, 0.1, 0.7, 0.5))["ME"] == 0.0


@given(scored_videos, scored_videos, thresholds, st.floats(0.1, 10))
def test_average_precision_depends_on_the_order_of_scores_only(truth, spotted, t_eval, factor):
    area = average_precision(truth, spotted, t_eval)
    assert all(value is None or 0 <= value <= 1 for value in area.values())
    stretched = {v: [replace(s, score=factor * s.score - 3) for s in spans] for v, spans in spotted.items()}
    assert average_precision(truth, stretched, t_eval) == area


def test_intervals_of_a_part_keep_every_video():
    spans = [Interval(0, 1, "ME"), Interval(4, 9, "MaE")]
    assert of_part({"a": spans, "b": []}, "ME") == {"a": spans[:1], "b": []}
    assert of_part({"a": spans, "b": []}, "overall") == {"a": spans, "b": []}


def test_paired_bootstrap_sees_a_small_lead_that_two_intervals_do_not():
    # subjects differ much, the two methods differ by one hit in every subject
    second = {f"s{n}": Counts(n, 10 - n, 10 - n) for n in range(1, 10)}
    first = {name: Counts(c.tp + 1, c.fp - 1, c.fn - 1) for name, c in second.items()}
    lead = paired_bootstrap(first, second)
    assert lead.f1 == pytest.approx(0.1)
    assert 0 < lead.low <= lead.f1 <= lead.high
    assert lead.positive == 1.0
    apart = [bootstrap_f1(list(side.values())) for side in (first, second)]
    assert apart[0][0] < apart[1][1]  # the two intervals overlap
    back = paired_bootstrap(second, first)
    assert (back.f1, back.positive) == (pytest.approx(-0.1), 0.0)
    assert paired_bootstrap(first, first) == Difference(0.0, 0.0, 0.0, 0.0)


def test_paired_bootstrap_draws_every_subject_alike():
    # the first method leads on one of two subjects, which three of the four draws of two subjects hold
    none, all_ = Counts(0, 5, 5), Counts(5, 0, 0)
    for leading in ("a", "b"):
        first = {"a": none, "b": none} | {leading: all_}
        lead = paired_bootstrap(first, {"a": none, "b": none})
        assert (lead.f1, lead.low, lead.high) == (0.5, 0.0, 1.0)
        assert lead.positive == pytest.approx(3 / 4, abs=0.04)
    assert lead == paired_bootstrap(first, {"a": none, "b": none}, draws=2000, seed=0)


def test_paired_bootstrap_wants_the_same_subjects():
    with pytest.raises(MetricError, match="not shared: s2, s3"):
        paired_bootstrap({"s1": Counts(), "s2": Counts()}, {"s1": Counts(), "s3": Counts()})
    with pytest.raises(MetricError, match=r"not shared: none at all$"):
        paired_bootstrap({}, {})


def test_bootstrap_counts_right_apart_from_found():
    assert bootstrap_f1([CountsApart(1, 0, 1, right=5)] * 3) == pytest.approx((2 / 3, 2 / 3))
