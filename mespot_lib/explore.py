"""The threshold explorer: finished runs under one's fingers, in JupyterLab and as a page. No logic of its own.

    a slider moves -> `respot` spots and scores again -> numbers, linked views; F1 over that setting a moment later

All arithmetic is in `respot`, which calls the methods' own functions and `metrics`. This is the only file that needs
ipywidgets; the views are SVG, drawn by `explore.js` in an anywidget. From key to new picture that takes some 60 ms, as
bqplot does (50 ms) and less than a figure of matplotlib sent as a picture (100 ms); and unlike with bqplot, bars can be
hatched, reached with Tab and arrow keys, and read aloud.
"""

import asyncio
import base64
import functools
import html
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mespot_lib import places, respot, viz
from mespot_lib.catalogue import load_dataset
from mespot_lib.curves import Curves
from mespot_lib.frames import read_frame
from mespot_lib.interval import KINDS
from mespot_lib.manifest import Manifest
from mespot_lib.metrics import PARTS, Score
from mespot_lib.respot import T_EVAL, Bar, Fold, RespotError
from mespot_lib.runs import Result, Run, scan_results

EDGES_MS = np.arange(-500.0, 501.0, 100.0)  # of the histogram of boundary errors
_ANY = math.inf
_MOST_SWEEPS = 12
_MOST_POINTS = 1500  # of a curve on the screen
_CALM_S = 0.2  # without another key, until long work begins
_LEAST_PAUSE_S = 0.001  # lets a slider in between two steps of a sweep
_FACE_PX = 210

STATES = {
    "own": "as fitted on the training subjects: the result of the run",
    "printed": "the paper's values where it prints some, all else as fitted: nothing has seen the held-out truth",
    "hand": "turned by hand with the truth in view: <b>no result</b>",
    "oracle": "<b>ORACLE, no result.</b> These values were chosen on the very videos they are scored on. In use nobody "
    "knows the truth, so no method reaches this number honestly: it is a bound on what thresholds can do.",
}


# ---------------------------------------------------------------------------------------------------------------------
# What there is to explore


def newest_runs(reports: str | Path) -> tuple[dict[tuple[str, str], dict[str, Result]], list[str]]:
    """Return the finished runs by (dataset, method) and fold, of several of one fold the last, and what is wrong.

    reports : folder with `runs`, as `reports/reference`, from the repository's root or absolute.
    """
    folder = Path(reports)
    results, problems = scan_results(folder if folder.is_absolute() else places.repository_root() / folder)
    found: dict[tuple[str, str], dict[str, Result]] = {}
    for result in sorted(results, key=lambda one: one.record["finished"]):
        place = found.setdefault((result.record["dataset"], result.record["method"]), {})
        place[result.record["fold"]] = result
    in_order = {key: dict(sorted(folds.items())) for key, folds in sorted(found.items())}
    return in_order, problems


def somebody_looks() -> bool:
    """Return whether the notebook is open before somebody, and not executed by a program.

    Jupyter names the session of a notebook that is open, and VS Code itself; a program that executes one does neither.
    """
    return bool({"JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD"} & set(os.environ))


def read_folds(folds: Mapping[str, Result], chosen: str) -> list[Fold]:
    """Return the chosen folds ready to be spotted again: "all", or names separated by commas; the first by default.

    Raises
    ------
    RespotError
        If a name is unknown, or as `respot.read_fold`.
    """
    names = list(folds) if chosen == "all" else [name.strip() for name in chosen.split(",") if name.strip()]
    unknown = [name for name in names if name not in folds]
    if unknown:
        raise RespotError(f"no finished run of fold {', '.join(unknown)}; there are {', '.join(folds)}")
    return [respot.read_fold(folds[name]) for name in names or list(folds)[:1]]


# ---------------------------------------------------------------------------------------------------------------------
# Pictures and files of a setting


def figure(
    folds: Sequence[Fold],
    uid: str,
    changes: Mapping[str, Any] | None = None,
    t_eval: float = 0.5,
    over: str = "t_eval",
) -> Any:
    """Return the views as one figure of matplotlib: a video, F1 over one setting, recall, boundary errors."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    changes = changes or {}
    fold = next(fold for fold in folds if uid in fold.videos)
    facts, control = fold.videos[uid], _control(folds, over)
    spotted = respot.spot_again(folds, changes)
    now = respot.score_again(folds, spotted, t_eval)
    swept = list(respot.sweep(folds, changes, over, control.values, t_eval))
    with rc_context(viz.STYLE):
        page = Figure(figsize=(10.5, 6.8), layout="constrained")
        axes = page.subplot_mosaic([["time"] * 3, ["scores"] * 3, ["f1", "recall", "errors"]])
        viz.draw_timeline(axes["time"], fold.truth[uid], spotted[uid], facts.fps, facts.frames, t_eval)
        stored = respot.scores_of_video(fold, uid, changes)
        viz.draw_stored(axes["scores"], stored, respot.levels(fold, changes), facts.fps)
        axes["scores"].set_xlim(0, facts.frames / facts.fps)
        at = _place(control, _current(folds, changes, t_eval, over))
        viz.draw_sweep(axes["f1"], control.names, swept, control.label, at)
        viz.draw_recall(axes["recall"], swept, now)
        viz.draw_boundary_errors(axes["errors"], respot.errors_ms(folds, spotted, t_eval), EDGES_MS)
    return page


def figure_bytes(page: Any, form: str) -> bytes:
    """Return a figure as a file: "svg" or "png"."""
    file = io.BytesIO()
    page.savefig(file, format=form, metadata={"Date": None} if form == "svg" else None)
    return file.getvalue()


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Return parameters of notebook 70 as YAML that papermill reads (`-f`); each value is JSON, which YAML contains."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in parameters.items())


def _control(folds: Sequence[Fold], name: str) -> respot.Control:
    return T_EVAL if name == "t_eval" else respot.controls(folds)[name]


def _place(control: respot.Control, value: Any) -> int | None:
    return control.values.index(value) if value in control.values else None


def _current(folds: Sequence[Fold], changes: Mapping[str, Any], t_eval: float, name: str) -> Any:
    return t_eval if name == "t_eval" else changes.get(name, respot.own_value(folds, name))


# ---------------------------------------------------------------------------------------------------------------------
# The views, as plain values for explore.js


def bars_view(found: Sequence[Bar], fps: float) -> list[dict[str, Any]]:
    """Return the bars of a video for the timeline, times in seconds."""
    return [
        {
            "id": f"{bar.side} {bar.interval.kind} {bar.interval.onset} {bar.interval.offset}",
            "side": bar.side,
            "kind": bar.interval.kind,
            "outcome": bar.outcome,
            "from": bar.interval.onset / fps,
            "to": (bar.interval.offset + 1) / fps,
            "says": respot.says(bar, fps),
        }
        for bar in found
    ]


def scores_view(stored: Any, levels: Sequence[respot.Level], fps: float) -> dict[str, Any]:
    """Return curves or proposals of a video, and the thresholds across."""
    curves, proposals, highest = {}, {}, 0.0
    enough = 4 * max(
        (level.value for level in levels), default=np.inf
    )  # above that, height says nothing more
    if isinstance(stored, Curves):
        for kind, curve in zip(KINDS, stored.curves.T, strict=True):
            times, values = _thinned(curve)
            highest = np.nanmax([highest, *values])
            curves[kind] = [(times / fps).round(3).tolist(), _with_gaps(values)]
    else:
        for kind in KINDS:
            own = [span for span in stored if span.kind == kind]
            if own:
                onset, offset, value = zip(*((s.onset, s.offset + 1, s.score) for s in own), strict=True)
                ends = [(np.array(frames) / fps).round(3).tolist() for frames in (onset, offset)]
                proposals[kind] = [*ends, np.minimum(value, enough).round(4).tolist()]
                highest = max(highest, *value)
    return {
        "curves": curves,
        "proposals": proposals,
        "levels": [level._asdict() for level in levels],
        "high": 1.08 * float(min(highest, enough) or 1.0),
        "name": "score" if curves else "proposals",
    }


def _thinned(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frames and values of a curve with no more points than can be seen, its peaks kept."""
    each = -(-len(curve) // _MOST_POINTS) or 1
    padded = np.pad(curve, (0, -len(curve) % each), constant_values=np.nan).reshape(-1, each)
    return np.arange(len(padded)) * each, np.fmax.reduce(padded, axis=1)


def _with_gaps(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def errors_view(late_ms: np.ndarray) -> dict[str, Any]:
    """Return the histogram of boundary errors (P, 2); what lies outside counts in the outermost bins."""
    within = np.clip(late_ms, EDGES_MS[0], EDGES_MS[-1])
    onset, offset = (np.histogram(column, EDGES_MS)[0].tolist() for column in within.T)
    return {"edges": EDGES_MS.tolist(), "onset": onset, "offset": offset, "count": len(late_ms)}


def counts_table(score: Score, video: Score, version: int) -> str:
    """Return the counts as a table: all videos of the folds, and how many hits and errors the shown one has."""
    rows = []
    for part in PARTS:
        row, here = score[part], video[part]
        cells: dict[str, int | str] = {"tp": row.tp, "fp": row.fp, "fn": row.fn}
        cells |= {name: f"{getattr(row, name):.3f}" for name in ("precision", "recall", "f1")}
        cells |= {"here": f"{here.tp} / {here.fp} / {here.fn}"}
        tds = "".join(f'<td data-cell="{part} {name}">{value}</td>' for name, value in cells.items())
        rows.append(f"<tr><th scope='row'>{part}</th>{tds}</tr>")
    heads = ("", "TP", "FP", "FN", "prec.", "recall", "F1", "video")
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    title = "counts of all videos of the chosen folds; last column: TP / FP / FN of the shown video"
    return f'<table data-version="{version}" aria-label="{title}"><tr>{head}</tr>{"".join(rows)}</table>'


def _html(css: str, words: str) -> str:
    return f'<div class="{css}" role="status">{words}</div>' if words else ""


@functools.cache
def _views_class() -> type:
    import anywidget
    import traitlets

    def synced(trait: Any) -> Any:
        return trait.tag(sync=True)

    class Views(anywidget.AnyWidget):
        """What explore.js draws; `version` is the last to change in an update."""

        _esm = Path(__file__).with_name("explore.js")
        _css = Path(__file__).with_name("explore.css")
        bars = synced(traitlets.List())
        scores = synced(traitlets.Dict())
        sweep = synced(traitlets.Dict())
        errors = synced(traitlets.Dict())
        window = synced(traitlets.List(default_value=[0, 1]))
        picked = synced(traitlets.Unicode())
        oracle = synced(traitlets.Bool())
        version = synced(traitlets.Int())

    return Views


# ---------------------------------------------------------------------------------------------------------------------
# The explorer


class Explorer:
    """The controls and views of some folds of one method; `widget` is what a notebook shows."""

    def __init__(self, folds: Sequence[Fold], manifest: Manifest | None = None, video: str = ""):
        """Show folds that have been read; `manifest`, if there is one, is asked for frames."""
        import ipywidgets as w

        self.folds, self.manifest = list(folds), manifest
        self.changes: dict[str, Any] = {}
        self.t_eval, self.state = self.folds[0].t_eval, "own"
        self.controls = {"t_eval": T_EVAL, **respot.controls(self.folds)}
        self._swept: dict[tuple, list[dict[str, Any]]] = {}  # the last few sweeps
        self._at_work: Iterator[Any] | None = None
        self._quiet = False
        facts = respot.facts_of(self.folds)
        self.uid = video if video in facts else self._most_telling()
        numeric = [name for name, control in self.controls.items() if control.numeric]
        self.over = numeric[min(1, len(numeric) - 1)]  # the first of the method's own, if it has any

        self.video = w.Dropdown(options=list(facts), value=self.uid, description="video", layout=_wide(w))
        self.window = w.FloatRangeSlider(description="from, to (s)", readout_format=".0f", layout=_wide(w))
        self.sliders = {
            name: self._slider(control, _current(self.folds, {}, self.t_eval, name))
            for name, control in self.controls.items()
        }
        self.buttons = {
            "printed": self._button("Reset to the paper's values", self.reset_to_printed),
            "own": self._button("Best on training subjects", self.reset_to_own),
            "oracle": self._button("Oracle", self.start_oracle),
            "export": self._button("Export", self.export),
        }
        if not respot.printed(self.folds[0].run.method):
            self.buttons["printed"].disabled = True
            self.buttons["printed"].tooltip = "the paper prints none of these settings"
        self.numbers, self.said, self.detail, self.files = (w.HTML() for _ in range(4))
        self.views = _views_class()()
        self._show_video()
        self._watch()
        self.widget = self._layout(w)
        self.update()

    def close(self) -> None:
        """Stop work and take the widgets from the page; another explorer takes the place of this one."""
        self._at_work = None
        waiting = [self.widget]
        while waiting:
            widget = waiting.pop()
            waiting += getattr(widget, "children", ())
            widget.close()

    # -- widgets

    def _most_telling(self) -> str:
        """Return the video with the most expressions, ME first."""
        truth = respot.truth_of(self.folds)
        return max(truth, key=lambda uid: (sum(span.kind == "ME" for span in truth[uid]), len(truth[uid])))

    def _slider(self, control: respot.Control, value: Any) -> Any:
        import ipywidgets as w

        if not control.numeric:
            options = list(zip(control.names, control.values, strict=True))
            return w.Dropdown(options=options, value=value, **_labelled(w, control))
        slider = w.SelectionSlider(options=[""], **_labelled(w, control))
        _offer(slider, {*control.values, value}, value)
        return slider

    def _button(self, label: str, pressed: Callable[[], None]) -> Any:
        import ipywidgets as w

        button = w.Button(description=label, tooltip=label, layout=w.Layout(width="auto", flex="1 1 auto"))
        button.on_click(lambda _: pressed())
        return button

    def _layout(self, w: Any) -> Any:
        rows = w.Layout(display="flex", flex_flow="row wrap")
        left = w.VBox(
            [
                self.video,
                self.window,
                *self.sliders.values(),
                w.HBox(list(self.buttons.values()), layout=rows),
                self.said,
                self.numbers,
                self.files,
            ],
            layout=w.Layout(flex="0 1 380px", min_width="330px", overflow="hidden"),
        )
        right = w.VBox([self.views, self.detail], layout=w.Layout(flex="1 1 640px", min_width="0"))
        page = w.HBox([left, right], layout=w.Layout(width="100%", flex_flow="row wrap"))
        page.add_class("mespot-explorer")
        return page

    def _watch(self) -> None:
        for name, slider in self.sliders.items():
            slider.observe(functools.partial(self._turned, name), "value")
        self.video.observe(lambda change: self._other_video(change["new"]), "value")
        self.window.observe(lambda change: setattr(self.views, "window", list(change["new"])), "value")
        self.views.observe(lambda change: self.show_picked(change["new"]), "picked")

    def _turned(self, name: str, change: Mapping[str, Any]) -> None:
        if self._quiet:
            return
        value: Any = None if change["new"] == _ANY else change["new"]
        self.over = name if self.controls[name].numeric else self.over
        self.state = "hand"
        if name == "t_eval":
            self.t_eval = value
        else:
            self._set(name, value)
        if not self.changes and self.t_eval == self.folds[0].t_eval:
            self.state = "own"
        self.update()

    def _set(self, name: str, value: Any) -> None:
        """Note a change, unless it is what every fold has anyway."""
        if all(fold.settings[name] == value for fold in self.folds):
            self.changes.pop(name, None)
        else:
            self.changes[name] = value

    def _other_video(self, uid: str) -> None:
        self.uid = uid
        self._show_video()
        self.update()

    def _show_video(self) -> None:
        facts = self._fold().videos[self.uid]
        length = max(facts.frames / facts.fps, 0.1)
        self.window.max = max(length, self.window.max)  # in this order: a range never lies outside
        self.window.value = (0, length)
        self.window.min, self.window.max, self.window.step = 0, length, max(0.1, length / 200)
        self.views.window = [0, length]
        self.detail.value = _html("mespot-said", "Choose a bar (click, or Tab and Enter) to see its frames.")

    def _fold(self) -> Fold:
        return next(fold for fold in self.folds if self.uid in fold.videos)

    # -- what is shown

    def update(self) -> None:
        """Spot and score with the current settings and show the outcome; F1 over a setting follows by itself."""
        try:
            self.spotted = respot.spot_again(self.folds, self.changes)
        except ValueError as error:  # a setting that cannot be, such as a filter faster than the video
            self.said.value = _html("mespot-problem", html.escape(str(error)))
            return
        version = self.views.version + 1
        self.score = respot.score_again(self.folds, self.spotted, self.t_eval)
        self.numbers.value = counts_table(self.score, self.score.videos[self.uid], version)
        css = "mespot-warning" if self.state in ("hand", "oracle") else "mespot-said"
        kind = "synthetic data; " if self._fold().synthetic else ""
        self.said.value = _html(css, kind + STATES[self.state])
        self._show(version)
        (self.widget.add_class if self.state == "oracle" else self.widget.remove_class)("mespot-oracle")
        self._work(self._sweep_steps())

    def _show(self, version: int) -> None:
        """Draw the views anew, in one message."""
        fold = self._fold()
        fps = fold.videos[self.uid].fps
        self.bars = respot.bars(fold.truth[self.uid], self.spotted[self.uid], self.t_eval)
        stored = respot.scores_of_video(fold, self.uid, self.changes)
        with self.views.hold_sync():
            self.views.bars = bars_view(self.bars, fps)
            self.views.scores = scores_view(stored, respot.levels(fold, self.changes), fps)
            self.views.errors = errors_view(respot.errors_ms(self.folds, self.spotted, self.t_eval))
            self.views.sweep = self._sweep_view()
            self.views.oracle = self.state == "oracle"
            self.views.version = version

    def _sweep_key(self) -> tuple:
        others = {name: value for name, value in self.changes.items() if name != self.over}
        t_eval = None if self.over == "t_eval" else self.t_eval
        return self.over, t_eval, json.dumps(others, sort_keys=True)

    def _sweep_view(self) -> dict[str, Any]:
        control = self.controls[self.over]
        known = self._swept.get(self._sweep_key(), [])
        current = _current(self.folds, self.changes, self.t_eval, self.over)
        missing = [None] * (len(control.values) - len(known))
        return {
            "name": control.label,
            "values": list(control.names),
            "parts": {part: [*(row[part] for row in known), *missing] for part in PARTS},
            "now": self.score.as_dict(),
            "at": _place(control, current),
            "done": not missing,
        }

    def _sweep_steps(self) -> Iterator[None]:
        """Score one value of the swept setting at a time, and show the curve when all are there."""
        key, values = self._sweep_key(), self.controls[self.over].values
        rows = self._swept.pop(key, [])  # what an earlier turn has left unfinished is taken up
        self._swept = dict([*self._swept.items(), (key, rows)][-_MOST_SWEEPS:])
        if len(rows) == len(values):
            return
        left = values[len(rows) :]
        for score in respot.sweep(self.folds, self.changes, self.over, left, self.t_eval):
            rows.append(score.as_dict())
            yield
        self.views.sweep = self._sweep_view()

    def _work(self, steps: Iterator[None]) -> None:
        """Do long work in steps, between which sliders are heard; newer work takes the place of older."""
        self._at_work = steps
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no page is waiting
            for _ in steps:
                pass
        else:
            self._task = loop.create_task(self._in_turn(steps))

    async def _in_turn(self, steps: Iterator[None]) -> None:
        await asyncio.sleep(_CALM_S)
        if self._at_work is not steps:
            return
        for _ in steps:
            await asyncio.sleep(_LEAST_PAUSE_S)
            if self._at_work is not steps:
                return

    # -- buttons

    def reset_to_own(self) -> None:
        """Go back to the settings each fold chose on its training subjects."""
        self._put({}, "own", self.folds[0].t_eval)

    def reset_to_printed(self) -> None:
        """Set what the paper prints; what it does not print stays as fitted."""
        self._put(respot.printed(self.folds[0].run.method), "printed", self.folds[0].t_eval)

    def begin(self, changes: Mapping[str, Any], t_eval: float | None) -> None:
        """Set what an export has kept; a setting that the method does not have is an error.

        Raises
        ------
        RespotError
            If a name is unknown.
        """
        unknown = sorted(set(changes) - set(self.folds[0].settings))
        if unknown:
            known = ", ".join(self.folds[0].settings)
            raise RespotError(
                f"{self.folds[0].run.method} has no setting {', '.join(unknown)}; it has {known}"
            )
        same = not changes and t_eval in (None, self.folds[0].t_eval)
        self._put(changes, "own" if same else "hand", self.folds[0].t_eval if t_eval is None else t_eval)

    def start_oracle(self) -> None:
        """Look for the settings with the best overall F1 on the shown folds' own truth."""
        self.said.value = _html("mespot-warning", "Oracle: trying all settings on the truth ...")
        self._work(self._oracle_steps())

    def _oracle_steps(self) -> Iterator[None]:
        best: dict[str, Any] = {}
        for step in respot.oracle(self.folds, self.t_eval):
            best = step[0]
            yield
        self._put(best, "oracle", self.t_eval)

    def _put(self, changes: Mapping[str, Any], state: str, t_eval: float) -> None:
        self.changes, self.state, self.t_eval = {}, state, t_eval
        for name, value in changes.items():
            self._set(name, value)
        self._quiet = True
        for name, slider in self.sliders.items():
            value = _current(self.folds, self.changes, t_eval, name)
            if self.controls[name].numeric:
                _offer(slider, {*self.controls[name].values, value}, value)
            else:
                slider.value = value
        self._quiet = False
        self.update()

    def parameters(self) -> dict[str, Any]:
        """Return the parameters with which notebook 70 shows what is shown now."""
        run = self.folds[0].run
        names = ",".join(fold.run.fold for fold in self.folds)
        where = {"dataset": run.dataset, "method": run.method, "fold": names, "video": self.uid}
        return where | {"t_eval": self.t_eval, "changes": dict(self.changes), "over": self.over}

    def export(self) -> None:
        """Offer the settings as parameters for papermill, and the figure as SVG and PNG, for download."""
        page = figure(self.folds, self.uid, self.changes, self.t_eval, self.over)
        run = self.folds[0].run
        stem = f"{run.method}_{run.dataset}"
        files = {
            f"{stem}.yaml": ("text/yaml", parameters_text(self.parameters()).encode()),
            f"{stem}.svg": ("image/svg+xml", figure_bytes(page, "svg")),
            f"{stem}.png": ("image/png", figure_bytes(page, "png")),
        }
        links = [
            f'<a download="{name}" href="data:{form};base64,{base64.b64encode(data).decode()}">{name}</a>'
            for name, (form, data) in files.items()
        ]
        command = f"papermill notebooks/70_threshold_explorer.ipynb out.ipynb -f {stem}.yaml"
        oracle = " The oracle's values are no result." if self.state == "oracle" else ""
        words = f"{' · '.join(links)}<br>Without hands: <code>{command}</code>{oracle}"
        self.files.value = _html("mespot-said", words)

    # -- frames

    def show_picked(self, picked: str) -> None:
        """Show onset, apex and offset of the bar that was chosen, where frames may be shown and are on disk."""
        facts = self._fold().videos[self.uid]
        views = bars_view(self.bars, facts.fps)
        bar = next((bar for bar, view in zip(self.bars, views, strict=True) if view["id"] == picked), None)
        if bar is None:
            return
        words = html.escape(respot.says(bar, facts.fps))
        try:
            pictures = self._pictures(bar)
        except (ValueError, OSError) as error:
            pictures = _html("mespot-warning", f"No frames: {html.escape(str(error))}")
        self.detail.value = _html("mespot-said", words) + pictures

    def _pictures(self, bar: Bar) -> str:
        import cv2

        if self.manifest is None:  # nothing is drawn for this: that would take minutes
            self.manifest = load_dataset(self._fold().run.dataset, draw=False)
        video, span = self.manifest.video(self.uid), bar.interval
        apex = span.apex if span.apex is not None else (span.onset + span.offset) // 2
        middle = "apex" if span.apex is not None else "middle"
        shown = []
        for name, frame in (("onset", span.onset), (middle, apex), ("offset", span.offset)):
            picture = viz.shown(read_frame(video, frame, grey=False), video)
            width = round(picture.shape[1] * _FACE_PX / picture.shape[0])
            small = cv2.resize(picture, (width, _FACE_PX), interpolation=cv2.INTER_AREA)
            data = base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
            alt = f"{name}, frame {frame}"
            shown.append(
                f'<figure style="margin:2px"><img alt="{alt}" src="data:image/jpeg;base64,{data}">'
                f"<figcaption>{alt}</figcaption></figure>"
            )
        if viz.kept_back(video):
            shown.append("<p>The licence keeps these pictures back: landmarks only.</p>")
        return f'<div style="display:flex">{"".join(shown)}</div>'


def _wide(w: Any) -> Any:
    return w.Layout(width="auto")


def _labelled(w: Any, control: respot.Control) -> dict[str, Any]:
    style = {"description_width": "118px"}
    return {"description": control.label, "tooltip": control.meaning, "layout": _wide(w), "style": style}


def _offer(slider: Any, values: set[Any], value: Any) -> None:
    """Give a slider its values in order, and set it to one; a slider cannot hold None, so infinity stands for it."""
    numbers = sorted(_ANY if one is None else one for one in values)
    slider.options = [("any" if one == _ANY else f"{one:g}", one) for one in numbers]
    slider.value = _ANY if value is None else value


def explore_fold(
    manifest: Manifest,
    scores: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
    *,
    method: str,
    dataset: str,
    fold: str,
    profile: str,
    seed: int,
) -> Any:
    """Return the explorer of a fold that has been scored just now, as the widget a notebook shows."""
    run = Run(method, dataset, fold, profile, seed)
    return Explorer([respot.fold_of(manifest, scores, settings, run)], manifest).widget


def explorer(
    reports: str | Path = "reports/reference",
    dataset: str = "",
    method: str = "",
    fold: str = "",
    video: str = "",
    t_eval: float | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Any:
    """Return the explorer of all finished runs in a folder of reports, as a widget.

    dataset, method, fold, video : what is shown at first; of folds "all", or some separated by commas
    t_eval, changes : settings to begin with, as `Explorer.parameters` gives them
    """
    import ipywidgets as w

    found, problems = newest_runs(reports)
    page, said = w.VBox(), w.HTML()
    notes = "<br>".join(html.escape(problem) for problem in problems)
    if not found:
        where = html.escape(str(reports))
        command = "mespot sweep --methods zhang2020 --datasets synthetic_casme2 --folds 1"
        words = f"No finished run in {where}/runs. <code>{command}</code> makes one, in reports/runs."
        return w.HTML(_html("mespot-problem", f"{words}<br>{notes}"))

    datasets = sorted({key[0] for key in found})
    start = dataset if dataset in datasets else datasets[0]
    choices = {
        "dataset": w.Dropdown(options=datasets, value=start, description="dataset"),
        "method": w.Dropdown(description="method"),
        "fold": w.SelectMultiple(description="folds", rows=3, tooltip="several with Ctrl or Shift"),
    }

    before: list[Explorer] = []

    def show(*_: Any) -> None:
        key = choices["dataset"].value, choices["method"].value
        if key not in found or not choices["fold"].value:
            return
        try:
            folds = read_folds(found[key], ",".join(choices["fold"].value))
            inner = Explorer(folds, video=video)
            if not page.children:  # what is asked for is asked for once
                inner.begin(changes or {}, t_eval)
        except ValueError as error:
            page.children = [top, w.HTML(_html("mespot-problem", html.escape(str(error))))]
        else:
            page.children = [top, inner.widget]
            before.append(inner)
        for old in before[:-1]:
            old.close()
        del before[:-1]

    def list_methods(*_: Any) -> None:
        names = [key[1] for key in found if key[0] == choices["dataset"].value]
        before = choices["method"].value
        choices["method"].options = names  # which leaves none chosen
        choices["method"].value = before if before in names else names[0]

    def list_folds(*_: Any) -> None:
        names = list(found.get((choices["dataset"].value, choices["method"].value), ()))
        choices["fold"].options = names
        choices["fold"].value = names[:1]

    list_methods()
    if (start, method) in found:
        choices["method"].value = method
    list_folds()
    wanted = list(choices["fold"].options) if fold == "all" else [name.strip() for name in fold.split(",")]
    some = [name for name in wanted if name in choices["fold"].options]
    choices["fold"].value = some or choices["fold"].options[:1]
    said.value = _html("mespot-problem", notes)
    top = w.HBox([*choices.values(), said], layout=w.Layout(flex_flow="row wrap"))
    show()
    choices["dataset"].observe(list_methods, "value")
    choices["method"].observe(list_folds, "value")
    choices["fold"].observe(show, "value")
    return page
