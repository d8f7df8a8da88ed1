"""The bold answers of `notebooks/SOLUTIONS.md`, computed again by the library and from the stored reference runs."""

import csv
import functools
import re
from collections.abc import Mapping
from math import log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from mespot_lib import comparison, explore, metrics, ranks, report, respot, runs
from mespot_lib.claims import read_claims
from mespot_lib.datasets import read_dataset
from mespot_lib.datasets.fixes import POLICIES
from mespot_lib.face import CROP_UNITS, INNER_EYES_U
from mespot_lib.features import accuracy
from mespot_lib.features.flow import dense_flow
from mespot_lib.features.lcn import lcn
from mespot_lib.features.motion import sampling_step
from mespot_lib.features.regions import region_boxes, region_means
from mespot_lib.interval import Interval, iou
from mespot_lib.manifest import half_windows
from mespot_lib.metrics import Counts
from mespot_lib.synthetic.layouts import faults
from mespot_lib.synthetic.timeline import neutral_state

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "reports" / "reference"


@functools.cache
def folds(method: str, chosen: str = "all") -> list[respot.Fold]:
    found, problems = explore.newest_runs(REFERENCE)
    assert not problems
    return explore.read_folds(found["synthetic_casme2", method], chosen)


def stored(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def me(onset: int, offset: int, kind: str = "ME") -> Interval:
    return Interval(onset, offset, kind)


def latest_hit(length: int) -> int:
    """Return by how many frames an interval of a length may be late and still hit."""
    late = range(1, length)
    return max(s for s in late if iou(me(0, length - 1), me(s, length - 1 + s)) >= 0.5)


# ---------------------------------------------------------------------------------------------------------------------
# First steps


def one_more_false_alarm() -> str:
    return f"ME {Counts(1, 1, 1).f1:.2f}, overall {Counts(4, 1, 1).f1:.2f}"


def how_late() -> str:
    return f"{latest_hit(187 - 177 + 1)} frames"


def lower_threshold() -> str:
    (fold,) = folds("zhang2020", "s15")
    uid, missed = "synthetic_casme2/s15/15_0102", me(847, 861)
    there, false = [], []
    for value in [v for v in respot.CONTROLS["threshold_me_u"].values if v <= 0.5]:
        spans = respot.spot_again([fold], {"threshold_me_u": value})[uid]
        there += [(value, span.kind) for span in spans if iou(span, missed) >= 0.5]
        hits = {s for _, s in metrics.match(fold.truth[uid], spans)}
        false += [value for i, span in enumerate(spans) if span.kind == "ME" and i not in hits]
    value, kind = max(there)
    assert {kind for _, kind in there} == {kind}, "nor does a lower one find it as an ME"
    return f"{value:.2f} as {kind}, and {max(false):.2f}"


def positions() -> str:
    first, onset, offset, missing = 8, 10, 13, 11
    span = me(onset - first, offset - first)
    return f"t = {span.onset} to {span.offset}, {span.length} frames, t = {missing - first}"


def lost_offsets(tmp_path) -> str:
    root = faults.write_blank_tree("casme2", tmp_path / "k", subjects=6, videos=3)
    sound = half_windows(read_dataset("casme2", root))["MaE"]
    for _ in range(6):
        faults.plant("casme2", root, "offset 0")
    k = {name: half_windows(read_dataset("casme2", root, name))["MaE"] for name in POLICIES}
    (same,) = [name for name in k if k[name] == sound]
    return ", ".join(f"{name} {value}" for name, value in k.items()) + f"; {same}"


def early_onset() -> str:
    length = next(x for x in range(18, 99) if int(((17 * 18 + x) / 18 + 1) / 2) == 10)
    exclude = [name for name, policy in POLICIES.items() if policy.early_onsets]
    return f"{length}; {', '.join(exclude)}"


def below_a_pixel() -> str:
    return f"{1.5 * 38 / INNER_EYES_U:.2f} px and {1.5 * 128 / CROP_UNITS:.2f} px"


def farneback_without_noise() -> str:
    like = {"contrast": 5, "grain_px": 3.0, "size": 128, "methods": ("dis", "farneback")}
    read = accuracy.texture_readout((1.0,), noise_levels=0, **like).set_index("method")["read"]
    assert read["dis"] == pytest.approx(1, abs=0.01), "another flow reads all of it"
    return f"{read['farneback']:.2f} px: it is not the noise"


def light_after_lcn() -> str:
    crops, landmarks = accuracy.drawn_crops(1, [neutral_state()], size=128, noise_levels=0)
    picture, boxes, rng = np.asarray(crops[0]), region_boxes(landmarks[0], 128), np.random.default_rng(0)

    def apparent_u(gain: float, noise: float, normalise) -> float:
        squares = []
        for _ in range(2):
            pair = [accuracy.photographed(picture * level, noise, rng) for level in (1.0, gain)]
            means = region_means(dense_flow(*map(normalise, pair), "tvl1"), boxes)
            squares.append((means**2).sum(axis=-1).mean())
        return float(np.mean(squares) ** 0.5) * CROP_UNITS / 128

    def normalised(image):
        return np.clip(128 + 40 * lcn(image.astype(np.float32)), 0, 255).astype(np.uint8)

    assert apparent_u(1.05, 0, normalised) < 0.1
    assert 1.3 < apparent_u(1.0, 1.6, normalised) / apparent_u(1.0, 1.6, np.asarray) < 1.9
    return f"{apparent_u(1.05, 0, np.asarray):.1f} u become less than 0.1 u; the floor rises by half"


# ---------------------------------------------------------------------------------------------------------------------
# Counting


def last_that_hits() -> str:
    return str(next(t for t in range(230, 300) if iou(me(170, 219), me(150, t)) < 0.5))


def give_up_micro_expressions() -> str:
    small, whole = Counts(28, 100, 57 - 28), Counts(328, 100, 57 - 28)
    assert whole.f1 < Counts(300, 0, 57).f1
    return f"ME {small.f1:.2f}, overall {whole.f1:.2f}"


def quiet_videos() -> str:
    spotted, truth = respot.spot_again(folds("zhang2020"), {}), respot.truth_of(folds("zhang2020"))
    kinds = {uid: [span.kind for span in spans] for uid, spans in truth.items()}
    false = {uid: sum(span.kind == "ME" for span in spotted[uid]) for uid in truth if "ME" not in kinds[uid]}
    (empty,) = [uid for uid, count in false.items() if count and not kinds[uid]]
    counts = metrics.score(truth, spotted).ME
    left = Counts(counts.tp, counts.fp - sum(false.values()), counts.fn)
    return f"{sum(false.values())}; {empty.rpartition('/')[2]}; {left.f1:.2f}"


# ---------------------------------------------------------------------------------------------------------------------
# Methods


def step_between_neighbours() -> str:
    return f"{1.5 / (0.2 * 30):.2f} u at 30, {1.5 / (0.2 * 200):.4f} u at 200"


def lower_in_all_folds() -> str:
    some = folds("zhang2020")
    as_it_is, low = (
        respot.score_again(some, respot.spot_again(some, changes), 0.5).ME
        for changes in ({}, {"threshold_me_u": 0.25})
    )
    return f"{low.tp - as_it_is.tp} more hits, {low.fp - as_it_is.fp} more false alarms"


def two_methods_at_once() -> str:
    first, second = (respot.spot_again(folds(method), {}) for method in ("zhang2020", "flow_peaks"))
    truth = respot.truth_of(folds("flow_peaks"))
    confirmed = {
        uid: [s for s in spans if any(s.kind == o.kind and iou(s, o) >= 0.5 for o in first[uid])]
        for uid, spans in second.items()
    }
    both = {uid: [*first[uid], *second[uid]] for uid in truth}
    union, kept, alone = (metrics.score(truth, one).overall for one in (both, confirmed, second))
    better = "no" if max(union.f1, kept.f1) < alone.f1 else "yes"
    return "; ".join(
        (
            f"Union: TP {union.tp}, FP {union.fp}, F1 {union.f1:.2f}",
            f"confirmed: TP {kept.tp}, FP {kept.fp}, F1 {kept.f1:.2f}",
            better,
        )
    )


def samples_at_200() -> str:
    step = sampling_step(200, 30)
    return f"{step} frames, {100 * step / 200:.1f} s"


def choices_of_flow_peaks() -> str:
    rows = [row for row in stored("flow_peaks.csv") if row["table"] == "choices"]
    f1: dict[str, dict[str, float]] = {}
    for row in rows:
        f1.setdefault(row["setting"], {})[row["part"]] = float(row["f1"])
    engine = f1.pop("the engine")
    worst = min(f1, key=lambda name: f1[name]["overall"])
    (spares_me,) = [n for n, x in f1.items() if x["ME"] == engine["ME"] and x["MaE"] < engine["MaE"]]
    return f"{worst.capitalize()}; {spares_me}"


def half_of_the_me() -> str:
    rows = [row for row in stored("flow_peaks.csv") if row["table"] == "amplitude" and row["part"] == "ME"]
    amplitude, found = ([float(row[name]) for row in rows] for name in ("setting", "tp"))
    sure = binomtest(int(found[amplitude.index(1.0)]), 22).proportion_ci(method="wilson")
    return f"{np.interp(11, found, amplitude):.3f} u; {sure.low:.2f} to {sure.high:.2f}"


def windows_in_seconds() -> str:
    return f"{6 / 30:.2f} s and {37 / 200:.3f} s; {19 / 30:.2f} s and {217 / 200:.3f} s"


def printed_loss() -> str:
    printed, corrected = ([sign * log(1 - s) for s in (0.1, 0.9)] for sign in (1, -1))
    best = (0.1, 0.9)[int(np.argmin(printed))]
    return (
        f"{printed[0]:.2f} and {printed[1]:.2f} as printed, "
        f"{corrected[0]:.2f} and {corrected[1]:.2f} corrected; {best}"
    )


def one_frame_in_fifty() -> str:
    right, wrong = 0.5 * 0.02, 0.12 * 0.98
    return f"{right / (right + wrong):.1%}; {right / 0.98:.1%}".replace("%", " %")


def shortest_window() -> str:
    from mespot_lib.methods.mesnet import window_lengths

    shortest = min(window_lengths())
    return f"{shortest / 30:.3f} s and {shortest * sampling_step(200, 30) / 200:.3f} s"


def said_three_times() -> str:
    true = {"v": [me(10, 20), me(60, 72)]}
    spotted = {"v": [me(30, 40), me(59, 70), me(61, 74), me(60, 73)]}
    return ", ".join(
        f"{rule} {metrics.score(true, spotted, profile=rule).ME.f1:.2f}" for rule in ("mesnet", "megc")
    )


def without_suppression() -> str:
    from mespot_lib.proposals import read_proposals, sweep

    every, _ = read_proposals(REFERENCE / "mesnet_proposals.npz")
    own = {uid: one for uid, one in every.items() if uid.startswith("synthetic_casme2/")}
    values = (0.05, 0.25, 0.5, 0.75, None)
    counts = sweep(own, respot.truth_of(folds("mesnet")), (0.5,), (0.5,), values, (0.5,), "cpn")
    spotted, f1 = np.ravel(counts.spotted), {rule: np.ravel(counts.f1(rule)) for rule in ("mesnet", "megc")}
    said = "; ".join(f"{rule} {f[2]:.3f} and {f[4]:.3f}" for rule, f in f1.items())
    best = ["none" if (v := values[int(f.argmax())]) is None else f"{v:g}" for f in f1.values()]
    return f"{spotted[2]:.0f} and {spotted[4]:.0f}; {said}; {best[0]}, and {best[1]}"


def attention_that_does_nothing() -> str:
    printed, repaired = 0.9 * 2 + 0.1 * 2, 0.9 * 2 + 0.1 * 4
    return f"{printed:.1f} as printed, {repaired:.1f} repaired"


def worth_of_a_leak() -> str:
    table = pd.DataFrame(stored("stsnet_sw_leak.csv")).astype({"f1": float})
    steps = {form: rows.set_index("step")["f1"].diff() for form, rows in table.groupby("input")}
    largest = {form: worth.idxmax() for form, worth in steps.items()}
    helps = [step for step, worth in steps["as_printed"].items() if worth > 0]
    assert len(set(largest.values())) == 1
    return f"{largest['difference'].capitalize()}, for both; {', '.join(helps)}"


def pieces() -> str:
    true = {"v": [me(0, 59, "MaE")]}
    whole, two = [me(0, 59, "MaE")], [me(0, 24, "MaE"), me(35, 59, "MaE")]
    frames = Counts(sum(span.length for span in two), 0, 10).f1
    intervals, bridged = (metrics.score(true, {"v": one}).overall.f1 for one in (two, whole))
    return f"{frames:.2f}, {intervals:g}; {bridged:g}"


def window_at_200() -> str:
    step = sampling_step(200, 30)
    return f"{step} frames; {128 * step / 200:.2f} s beside {128 / 30:.2f} s"


def worst_anchor() -> str:
    from mespot_lib.methods.i3d_bifpn import LEVELS, I3dBiFpnConfig

    durations = np.linspace(0.2, 4, 2001)[:, None]

    def worst(ratios) -> float:
        lengths = np.array([2 * stride * ratio / 30 for stride in LEVELS.values() for ratio in ratios])
        return float((np.minimum(durations, lengths) / np.maximum(durations, lengths)).max(axis=1).min())

    return f"{worst(I3dBiFpnConfig.quick().ratios):.2f} with five ratios, {worst((1.0,)):.2f} with one"


def pooled_recall() -> str:
    printed = {
        c.expression: float(c.value)
        for c in read_claims()
        if (c.paper, c.table, c.metric, c.condition)
        == ("he2023-i3d-bifpn", "Table I", "recall", "T_eval=0.50")
    }
    follows = (printed["MaE"] * 300 + printed["ME"] * 57) / 357
    needed = (printed["overall"] * 357 - printed["MaE"] * 300) / 57
    return f"{follows:.3f}; {needed:.3f}"


# ---------------------------------------------------------------------------------------------------------------------
# Results


@functools.cache
def pooled() -> list[report.Pooled]:
    return report.pool_results(runs.scan_results(REFERENCE)[0])


def line_by_hand() -> str:
    (one,) = [
        o for o in pooled() if (o.record["method"], o.record["dataset"]) == ("flow_peaks", "synthetic_casme2")
    ]
    assert one.score.overall == Counts(66, 12, 15), "the exercise gives these"
    return f"{one.score.overall.f1:.3f}"


def who_takes_part() -> str:
    pairs = {
        kind: [r for r in comparison.differences(pooled()) if r["kind"] == kind] for kind in ("overall", "ME")
    }
    names = {kind: {r[side] for r in rows for side in ("first", "second")} for kind, rows in pairs.items()}
    assert len(pairs["overall"]) == 20, "the exercise says so"
    (new,) = names["ME"] - names["overall"]
    return f"{new.partition(' ')[0]}; {len(pairs['ME'])}"


def one_method_less() -> str:
    (ranking,) = comparison.rankings(pooled(), "overall")
    before = {(ranking.names[p.first], ranking.names[p.second]): p for p in ranking.pairs}
    (less,) = comparison.rankings([o for o in pooled() if o.label != ranking.names[0]], "overall")
    after = {(less.names[p.first], less.names[p.second]): p for p in less.pairs}
    assert all(before[pair].p == p.p for pair, p in after.items())
    assert any(before[pair].p_holm != p.p_holm for pair, p in after.items())
    assert less.distance == ranks.critical_difference(4, 12)
    return f"{less.distance:.2f}, from {ranking.distance:.2f}; p, not p_holm"


def below_half() -> str:
    values = respot.T_EVAL.values
    f1 = [score.ME.f1 for score in respot.sweep(folds("flow_peaks"), {}, "t_eval", values, 0.5)]
    half = f1[values.index(0.5)] / 2
    return f"{next(t for t, f in zip(values, f1, strict=True) if t > 0.5 and f < half):g}"


def again(changes: Mapping[str, float]) -> Counts:
    some = folds("flow_peaks")
    return respot.score_again(some, respot.spot_again(some, changes), 0.5).overall


def no_suppression() -> str:
    return str(again({"t_nms": 1.0}).fp - again({}).fp)


def high_thresholds() -> str:
    assert again({}).tp == 66, "the solution says so"
    return str(again({"threshold_me_u": 1.8, "threshold_mae_u": 1.8}).tp)


def three_frames() -> str:
    length = round(0.2 * 15)
    assert latest_hit(length) == 1
    return f"{length} frames; one late hits, two late does not"


def how_near() -> str:
    return f"{1.5 * 13 / INNER_EYES_U:.2f} px; {INNER_EYES_U / 1.5:.0f} px"


def reported_and_real() -> str:
    facts, counts = (
        respot.facts_of(folds("flow_peaks")),
        respot.score_again(folds("flow_peaks"), respot.spot_again(folds("flow_peaks"), {}), 0.5).ME,
    )
    minutes = sum(video.frames / video.fps for video in facts.values()) / 60
    assert (counts, round(minutes, 1)) == (Counts(21, 5, 11), 10.8), "the exercise gives these"
    false, real = 5 * counts.fp / minutes, 5 * 0.41 * counts.recall
    return f"{false:.1f} false alarms and {real:.1f} true ME; {real / (real + false):.2f}"


# ---------------------------------------------------------------------------------------------------------------------

ANSWERS = {
    "00_start_here": (one_more_false_alarm, how_late, lower_threshold),
    "01_datasets": (positions, lost_offsets, early_onset),
    "02_faces_and_motion": (below_a_pixel, farneback_without_noise, light_after_lcn),
    "03_evaluation": (last_that_hits, give_up_micro_expressions, quiet_videos),
    "10_megc_baseline": (step_between_neighbours, lower_in_all_folds, two_methods_at_once),
    "11_flow_peaks": (samples_at_200, choices_of_flow_peaks, half_of_the_me),
    "20_3dcnn": (windows_in_seconds, printed_loss, one_frame_in_fifty),
    "30_mesnet": (shortest_window, said_three_times, without_suppression),
    "40_stsnet": (attention_that_does_nothing, worth_of_a_leak, pieces),
    "50_bifpn": (window_at_200, worst_anchor, pooled_recall),
    "60_leaderboard": (line_by_hand, who_takes_part, one_method_less),
    "70_threshold_explorer": (below_half, no_suppression, high_thresholds),
    "80_your_own_video": (three_frames, how_near, reported_and_real),
}
CASES = [
    (stem, number, answer) for stem, all_of in ANSWERS.items() for number, answer in enumerate(all_of, 1)
]


def solutions() -> dict[tuple[str, int], str]:
    """Return the bold answers by notebook and number."""
    text = (ROOT / "notebooks" / "SOLUTIONS.md").read_text(encoding="utf-8")
    return {
        (section.partition("\n")[0].strip(), int(number)): said
        for section in text.split("\n## ")[1:]
        for number, said in re.findall(r"^(\d)\. \*\*(.+?)\.?\*\*", section, re.MULTILINE)
    }


@pytest.mark.parametrize(("stem", "number", "answer"), CASES, ids=[f"{s[:2]}-{n}" for s, n, _ in CASES])
def test_the_answer_is_right(stem, number, answer, tmp_path):
    computed = answer(tmp_path) if answer is lost_offsets else answer()
    assert solutions()[stem, number] == computed


def test_every_exercise_has_its_answer_and_no_answer_is_left_over():
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks == set(ANSWERS)
    assert set(solutions()) == {(stem, number) for stem, number, _ in CASES}
