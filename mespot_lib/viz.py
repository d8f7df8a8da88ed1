"""Drawings of every stage, each on axes that the caller gives. Nothing is computed here that a number depends on.

Time runs to the right in seconds; ME is orange and MaE blue in every figure, truth is filled, spotted is outlined by
outcome: green hit, grey false alarm, and a missed truth is hatched (colours of Okabe and Ito, told apart by
colour-blind readers and in print).
"""

import functools
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from mespot_lib import metrics
from mespot_lib.curves import Curves
from mespot_lib.face import CROP_UNITS, EYES_BELOW_TOP_U, INNER_EYES_U, detect_face, transform_points
from mespot_lib.features.regions import GROUPS, NAMES, REGIONS, region_boxes
from mespot_lib.frames import as_grey
from mespot_lib.interval import KINDS, Interval
from mespot_lib.manifest import Video
from mespot_lib.methods import zhang2020
from mespot_lib.metrics import Score
from mespot_lib.strips import caricature, strongest_movements
from mespot_lib.user_video import Analysis, activity, apex_of, doubts

KIND_COLOURS = {"ME": "#D55E00", "MaE": "#0072B2"}
HIT, FALSE = "#009E73", "#7F7F7F"
FLOW_COLOURS = {"dis": "#0072B2", "farneback": "#E69F00", "tvl1": "#CC79A7"}
LANDMARK_COLOURS = {"exact": "white", "mediapipe": "#56B4E9", "cascade": "#E69F00"}
GROUP_COLOURS = dict(zip(GROUPS, ("#56B4E9", "#0072B2", "#7F7F7F", "#CC79A7"), strict=True))
# For networks, methods, variants; also of Okabe and Ito, in an order of our own. "C0", "C1", ... name them.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
STYLE = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "figure.dpi": 80,
    "savefig.dpi": 80,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "image.cmap": "viridis",
}


def use_style() -> None:
    """Give the figures of a notebook or report their common look.

    Notebooks store them as JPEG: the noise of a camera makes a PNG ten times as large. Progressive ones are a tenth
    smaller than others of the same quality.
    """
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    plt.rcParams.update(STYLE)
    if "inline" in plt.get_backend().lower():
        set_matplotlib_formats("jpeg", pil_kwargs={"quality": 74, "optimize": True, "progressive": True})


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def kept_back(video: Video) -> bool:
    """Return whether a licence keeps the pictures of a video from being shown.

    Executed notebooks and reports are easily passed on, so faces of licensed data stay out of them unless the reader
    who holds the licence sets the environment variable MESPOT_SHOW_FACES to 1.
    """
    return not video.publishable and os.environ.get("MESPOT_SHOW_FACES") != "1"


def shown(image: np.ndarray, video: Video, landmarks: np.ndarray | None = None) -> np.ndarray:
    """Return the image, or where it is `kept_back` the lines of its landmarks on plain grey: no pixel of it.

    A coarse mosaic would not do: its tiles are means of pixels, and who knows a face recognises it in ten by ten of
    them.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8. landmarks : (68, 2) px in it; by default looked for, and none drawn if not found.
    """
    if not kept_back(video):
        return image
    drawing = np.full(image.shape, 96, np.uint8)
    if landmarks is None:
        face = detect_face(image) if image.dtype == np.uint8 else None
        landmarks = face.landmarks if face else None
    if landmarks is not None:
        lines = [np.round(landmarks[list(line)]).astype(np.int32) for line in FACE_LINES]
        thickness = max(1, round(max(image.shape[:2]) / 160))
        cv2.polylines(drawing, lines, False, (210, 210, 210), thickness, cv2.LINE_AA)
    return drawing


def show_image(
    ax: Axes, image: np.ndarray, video: Video, title: str = "", landmarks: np.ndarray | None = None
) -> Axes:
    """Show a frame or crop of a video, (H, W) grey or (H, W, 3) in OpenCV's order, without axes; see `shown`."""
    return _show(ax, shown(image, video, landmarks), video, title)


def _show(ax: Axes, picture: np.ndarray, video: Video, title: str) -> Axes:
    """Show what `shown` has let pass."""
    if picture.ndim == 3:
        ax.imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    else:
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
    if kept_back(video):
        ax.text(
            0.5,
            0.02,
            "landmarks only: licence",
            transform=ax.transAxes,
            ha="center",
            color="white",
            fontsize=6,
        )
    ax.set_title(title, loc="center", fontsize=9)
    ax.set_axis_off()
    return ax


def contact_sheet(
    axes: Sequence[Axes], images: Sequence[np.ndarray], video: Video, titles: Sequence[str]
) -> None:
    """Show onset, apex and offset side by side, then how the apex differs from the onset.

    axes : four; images : three frames or crops of one size; titles : three.
    """
    pictures = [shown(image, video) for image in images]
    for ax, picture, title in zip(axes[:3], pictures, titles, strict=True):
        _show(ax, picture, video, title)
    onset, apex = (as_grey(picture).astype(np.float32) for picture in pictures[:2])
    change = apex - onset
    limit = max(8.0, float(np.abs(change).max()) / 2)
    axes[3].imshow(change, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes[3].set_title("apex - onset", loc="center", fontsize=9)
    axes[3].set_axis_off()


def draw_regions(ax: Axes, crop: np.ndarray, video: Video, landmarks: np.ndarray) -> Axes:
    """Show a face crop with the regions of interest and the nose that stands for the head.

    crop : (S, S[, 3]) uint8; landmarks : (68, 2) px in it.
    """
    show_image(ax, crop, video, landmarks=landmarks)
    part_of = {point: part for part, points in GROUPS.items() for point in points}
    for point, (left, top, right, bottom) in zip(REGIONS, region_boxes(landmarks, len(crop)), strict=True):
        colour = GROUP_COLOURS[part_of[point]]
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, lw=1.6))
        ax.annotate(
            str(point), (right, top), color="white", fontsize=6, bbox={"fc": colour, "ec": "none", "pad": 0.8}
        )
    ax.scatter(landmarks[:, 0], landmarks[:, 1], s=3, c="white", linewidths=0)
    ax.plot(*landmarks[29:31].T, "+", color="yellow", ms=9)
    ax.set(xlim=(-0.5, len(crop) - 0.5), ylim=(len(crop) - 0.5, -0.5))
    return ax


def draw_landmarks(
    ax: Axes, image: np.ndarray, video: Video, found: Mapping[str, np.ndarray], title: str = ""
) -> Axes:
    """Show an image with the landmarks (68, 2) px that several sources found in it, by name of the source."""
    show_image(ax, image, video, title, next(iter(found.values()), None))
    for name, landmarks in found.items():
        ax.scatter(landmarks[:, 0], landmarks[:, 1], s=10, c=LANDMARK_COLOURS[name], linewidths=0, label=name)
    ax.legend(
        loc="lower left", fontsize=8, labelcolor="white", facecolor="black", frameon=True, framealpha=0.6
    )
    return ax


def outline_crop(ax: Axes, matrix: np.ndarray, size: int, colour: str = "yellow") -> Axes:
    """Draw where a crop lies in the image on `ax`: its square, and the axes of the face from the middle of the eyes.

    matrix, size : as in `mespot_lib.face.crop_face`.
    """
    back = cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64))
    corners = np.array([(0, 0), (size, 0), (size, size), (0, size), (0, 0)]) - 0.5
    ax.plot(*transform_points(corners, back).T, color=colour, lw=1.5, clip_on=True)
    eyes = np.array([CROP_UNITS / 2, EYES_BELOW_TOP_U])
    for reach in ((INNER_EYES_U, 0), (0, INNER_EYES_U)):
        arrow = transform_points(np.array([eyes, eyes + reach]) * size / CROP_UNITS - 0.5, back)
        ax.annotate("", arrow[1], arrow[0], arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.5})
    return ax


def draw_field(
    ax: Axes, field: np.ndarray, label: str, high: float, low: float = 0.0, cmap: str = "magma"
) -> Axes:
    """Draw a map (S, S) over a face crop, with its colour bar."""
    image = ax.imshow(field, cmap=cmap, vmin=low, vmax=high)
    ax.set_axis_off()
    ax.figure.colorbar(image, ax=ax, label=label, pad=0.02, shrink=0.85)
    return ax


def draw_flow(
    ax: Axes, crop: np.ndarray, video: Video, flow: np.ndarray, step: int = 12, magnify: float = 8.0
) -> Axes:
    """Show a flow field (S, S, 2) px as arrows, `magnify` times as long as the motion, on the crop.

    step : px between arrows.
    """
    show_image(ax, crop, video)
    at = np.arange(step // 2, len(flow), step)
    x, y = np.meshgrid(at, at)
    u, v = flow[y, x, 0], flow[y, x, 1]
    ax.quiver(
        x,
        y,
        u,
        v,
        np.hypot(u, v),
        angles="xy",
        scale_units="xy",
        scale=1 / magnify,
        cmap="plasma",
        width=0.006,
    )
    return ax


# ---------------------------------------------------------------------------------------------------------------------
# Curves and matrices over time


def shade_truth(ax: Axes, truth: Sequence[Interval], fps: float) -> None:
    """Shade the annotated intervals behind curves."""
    for span in truth:
        ax.axvspan(span.onset / fps, (span.offset + 1) / fps, color=KIND_COLOURS[span.kind], alpha=0.18, lw=0)


def draw_shifts(ax: Axes, frames: np.ndarray, shifts: np.ndarray, fps: float, spread_u: float = 3.0) -> Axes:
    """Draw the length of every region's displacement, (N, R, 2) u, one line per region, spread apart.

    Displacements are shown relative to their median over the second around, so that slow drift does not hide them.
    """
    window = max(3, int(fps / max(1, frames[1] - frames[0])))
    for row, name in enumerate(NAMES):
        part = name.rsplit(" ", 1)[0]
        slow = np.stack([_running_mean(shifts[:, row, c], window * 4) for c in range(2)], axis=1)
        length = np.linalg.norm(shifts[:, row] - slow, axis=1)
        ax.plot(frames / fps, length - row * spread_u, color=GROUP_COLOURS[part], lw=0.9)
    ax.set_yticks([-row * spread_u for row in range(len(NAMES))], NAMES, fontsize=7)
    ax.set(xlabel="time, s", xlim=(0, frames[-1] / fps))
    ax.set_title(f"displacement of the regions (lines {spread_u:g} u apart)")
    return ax


def draw_votes(ax: Axes, frames: np.ndarray, votes: np.ndarray, fps: float, high: float, title: str) -> Axes:
    """Draw the region x time matrix of votes, (N, R) u; `high` is the vote at the top of the colour scale."""
    extent = (frames[0] / fps, frames[-1] / fps, len(NAMES) - 0.5, -0.5)
    image = ax.imshow(
        votes.T, aspect="auto", extent=extent, cmap="magma", vmin=0, vmax=high, interpolation="nearest"
    )
    ax.set_yticks(range(len(NAMES)), NAMES, fontsize=7)
    edges = np.cumsum([len(points) for points in GROUPS.values()])[:-1] - 0.5
    for edge in edges:
        ax.axhline(edge, color="white", lw=0.5)
    ax.set_title(title)
    ax.figure.colorbar(image, ax=ax, label="vote, u", pad=0.01)
    return ax


def draw_paths(
    ax: Axes, frames: np.ndarray, paths: Mapping[str, np.ndarray], fps: float, unit: str = "u"
) -> Axes:
    """Draw displacements over time, (N,) each, by name: the head grey, what is exact dashed, the rest in colours."""
    styles = {"head": {"color": FALSE, "lw": 1.2}, "exact": {"color": "black", "lw": 1.2, "ls": "--"}}
    for name, path in paths.items():
        style = next((style for word, style in styles.items() if name.startswith(word)), {"lw": 1.6})
        ax.plot(frames / fps, path, label=name, **style)
    ax.set(xlabel="time, s", ylabel=f"displacement, {unit}", xlim=(frames[0] / fps, frames[-1] / fps))
    ax.legend(fontsize=8)
    return ax


def draw_fused(
    ax: Axes, scores: zhang2020.Scores, thresholds_u: Mapping[str, float], truth: Sequence[Interval] = ()
) -> Axes:
    """Draw the fused vote of both kinds of filters with their thresholds, on the truth."""
    shade_truth(ax, truth, scores.fps)
    for kind in KINDS:
        colour = KIND_COLOURS[kind]
        ax.plot(scores.frames / scores.fps, scores.fused[kind], color=colour, lw=1, label=f"{kind} filters")
        ax.axhline(thresholds_u[kind], color=colour, lw=1, ls="--", label=f"{kind} threshold")
    ax.set(xlabel="time, s", ylabel="fused vote, u", xlim=(0, scores.frames[-1] / scores.fps))
    ax.set_ylim(0, 4 * max(thresholds_u.values()))  # what lies far above is as good as what lies above
    ax.legend(ncols=4, loc="upper right", fontsize=8)
    return ax


def draw_timeline(
    ax: Axes,
    truth: Sequence[Interval],
    spotted: Sequence[Interval],
    fps: float,
    length: int,
    t_eval: float = 0.5,
) -> Axes:
    """Draw truth above spotted for MaE and ME: hits green, false alarms grey, missed truth hatched.

    An ME of 0.4 s in a long video is thinner than a pixel, so bars have a least width.
    """
    pairs = metrics.match(truth, spotted, t_eval)
    found, hits = {t for t, _ in pairs}, {s for _, s in pairs}
    least = length / fps / 250
    for row, kind in enumerate(reversed(KINDS)):
        for i, span in enumerate(truth):
            if span.kind == kind:
                missed = {} if i in found else {"hatch": "////", "alpha": 0.55}
                _bar(
                    ax,
                    span,
                    fps,
                    least,
                    -2.6 * row,
                    facecolor=KIND_COLOURS[kind],
                    edgecolor="white",
                    lw=0,
                    **missed,
                )
        for i, span in enumerate(spotted):
            if span.kind == kind:
                _bar(
                    ax,
                    span,
                    fps,
                    least,
                    -2.6 * row - 1,
                    facecolor=HIT if i in hits else FALSE,
                    edgecolor="none",
                )
    ticks = [-2.6 * row - place for row in range(len(KINDS)) for place in (0, 1)]
    ax.set_yticks(ticks, [f"{kind} {what}" for kind in reversed(KINDS) for what in ("truth", "spotted")])
    ax.set(xlim=(0, length / fps), ylim=(-4.3, 0.7), xlabel="time, s")
    handles = [
        Patch(color=KIND_COLOURS["MaE"], label="MaE truth"),
        Patch(color=KIND_COLOURS["ME"], label="ME truth"),
        Patch(facecolor="#999999", hatch="////", edgecolor="white", label="missed"),
        Patch(color=HIT, label="hit"),
        Patch(color=FALSE, label="false alarm"),
    ]
    ax.legend(handles=handles, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
    return ax


def _bar(ax: Axes, span: Interval, fps: float, least: float, y: float, **style: Any) -> None:
    width = max(span.length / fps, least)
    ax.add_patch(Rectangle((span.onset / fps, y - 0.4), width, 0.8, **style))


def _running_mean(signal: np.ndarray, window: int) -> np.ndarray:
    padded = np.pad(signal, (window // 2, window - 1 - window // 2), mode="edge")
    return np.convolve(padded, np.ones(window) / window, mode="valid")


# ---------------------------------------------------------------------------------------------------------------------
# Results


PART_STYLES: dict[str, dict[str, Any]] = {
    "ME": {"color": KIND_COLOURS["ME"], "ls": (0, (5, 3)), "marker": "o"},
    "MaE": {"color": KIND_COLOURS["MaE"], "ls": (0, (2, 2)), "marker": "s"},
    "overall": {"color": "#000000", "ls": "-", "marker": "^"},
}


def draw_stored(ax: Axes, stored: Curves | Sequence[Interval], levels: Sequence, fps: float) -> Axes:
    """Draw what a run has stored of a video: score curves, or proposals at the height of their scores.

    levels : thresholds across, each with name, kind and value, as `respot.levels` returns them.
    """
    if isinstance(stored, Curves):
        seconds = np.arange(len(stored.curves)) / fps
        for kind, curve in zip(KINDS, stored.curves.T, strict=True):
            ax.plot(seconds, curve, color=KIND_COLOURS[kind], lw=1, label=kind)
    else:
        for kind in KINDS:
            own = [span for span in stored if span.kind == kind]
            begins, ends = [span.onset / fps for span in own], [(span.offset + 1) / fps for span in own]
            ax.hlines([span.score for span in own], begins, ends)
            ax.collections[-1].set(color=KIND_COLOURS[kind], lw=2, alpha=0.5, label=kind)
    for level in levels:
        ax.axhline(level.value, color=KIND_COLOURS[level.kind], lw=1, ls=PART_STYLES[level.kind]["ls"])
    top = 4 * max((level.value for level in levels), default=np.inf)  # above that, height says nothing more
    ax.set(xlabel="time, s", ylabel="score", ylim=(0, min(top, ax.get_ylim()[1])))
    ax.legend(ncols=2, loc="upper right", fontsize=8)
    return ax


def draw_sweep(ax: Axes, values: Sequence[str], scores: Sequence[Score], name: str, now: int | None) -> Axes:
    """Draw F1 of each kind and overall over the values of one setting, and at which of them it stands now."""
    places = np.arange(len(values))
    for part, style in PART_STYLES.items():
        heights = [score[part].f1 for score in scores]
        ax.plot(places, heights, label=part, lw=1.6, ms=7, markevery=[] if now is None else [now], **style)
    if now is not None:
        ax.axvline(now, color="#444444", lw=1, ls=":")
    every = -(-len(values) // 8)
    ax.set_xticks(places[::every], values[::every])
    ax.set(xlabel=name, ylabel="F1", ylim=(-0.02, 1.02))
    ax.legend(fontsize=8)
    return ax


def draw_recall(ax: Axes, scores: Sequence[Score], now: Score) -> Axes:
    """Draw precision over recall of each kind and overall along a sweep, and where it stands now."""
    recall = np.linspace(0.02, 1, 99)
    for f1 in (0.2, 0.4, 0.6, 0.8):
        reached = recall > f1 / (2 - f1)
        own = recall[reached]
        ax.plot(own, f1 * own / (2 * own - f1), color="#D0D0D0", lw=0.8, zorder=0)
        ax.annotate(f"F1 {f1}", (1, f1 / (2 - f1)), ha="right", va="bottom", fontsize=6, color="#767676")
    for part, style in PART_STYLES.items():
        known = [score[part] for score in scores if score[part].tp + score[part].fp]
        ax.plot(
            [one.recall for one in known], [one.precision for one in known], lw=1.6, **style, markevery=[]
        )
        ax.plot(now[part].recall, now[part].precision, **style, ms=7, label=part)
    ax.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return ax


def draw_boundary_errors(ax: Axes, late_ms: np.ndarray, edges_ms: np.ndarray) -> Axes:
    """Draw how late onset and offset of the hits are, (P, 2) in ms; what lies outside the edges counts at the end."""
    within = np.clip(late_ms, edges_ms[0], edges_ms[-1])
    names, colours = ["onset", "offset"], ["#56B4E9", "#FFFFFF"]
    bars: Any = ax.hist(list(within.T), edges_ms.tolist(), label=names, color=colours)[2]
    for bar in bars[1]:
        bar.set(hatch="////", edgecolor="#444444")
    ax.axvline(0, color="#444444", lw=1, ls=":")
    ax.set(xlabel="late, ms (early is negative)", ylabel="hits")
    ax.legend(fontsize=8)
    return ax


def draw_readout(ax: Axes, readings: Mapping[str, tuple], unit: str = "px", bias: bool = False) -> Axes:
    """Draw what each flow reads of known shifts, or with `bias` by how much it misses them.

    readings : method -> (true, read) or (true, read, spread), arrays (N,).
    """
    reach = max(np.max(values[0]) for values in readings.values())
    ax.plot((0, reach), (0, 0 if bias else reach), color="black", lw=0.8, ls="--", label="exact")
    for method, (true, read, *spread) in readings.items():
        height = np.asarray(read) - (np.asarray(true) if bias else 0)
        ax.errorbar(
            true,
            height,
            *spread,
            marker="o",
            ms=3.5,
            lw=1.3,
            capsize=2,
            color=FLOW_COLOURS[method],
            label=method,
        )
    ax.set(xlabel=f"true, {unit}", ylabel=f"read - true, {unit}" if bias else f"read, {unit}")
    ax.legend(fontsize=8)
    return ax


def draw_durations(ax: Axes, seconds: Sequence[float], kind: str, published: Mapping[str, float]) -> Axes:
    """Draw how long expressions of one kind are, with what is published: median dashed, mean +- sd as a grey band.

    published : quantities of `mespot_lib.statistics`; those that are not known are not drawn.
    """
    # whole frames at 30 per second: other edges would make combs
    edges = (np.arange(2.5, 20) if kind == "ME" else np.arange(0.5, 152, 7.5)) / 30
    ax.hist(seconds, edges.tolist(), color=KIND_COLOURS[kind], alpha=0.6, label=f"drawn, {len(seconds)}")
    if "duration_median_s" in published:
        ax.axvline(published["duration_median_s"], color="black", ls="--", label="published median")
    if {"duration_mean_s", "duration_sd_s"} <= set(published):
        mean, sd = published["duration_mean_s"], published["duration_sd_s"]
        ax.axvspan(mean - sd, mean + sd, color="#DDDDDD", zorder=0, label="published mean ± sd")
    ax.set(xlabel="duration, s", ylabel="expressions")
    ax.legend(fontsize=8)
    return ax


def draw_trials(
    ax: Axes, trials: np.ndarray, grid: Mapping[str, Sequence[float]], chosen: Mapping[str, float]
) -> Axes:
    """Draw F1 on the training videos over both thresholds, (ME, MaE), with the chosen pair."""
    image = ax.imshow(trials, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=1)
    for axis, kind in ((ax.yaxis, "ME"), (ax.xaxis, "MaE")):
        axis.set_ticks(range(len(grid[kind])), [f"{value:g}" for value in grid[kind]], fontsize=8)
        axis.set_label_text(f"{kind} threshold, u")
    place = [list(grid[kind]).index(chosen[kind]) for kind in ("MaE", "ME")]
    ax.plot(*place, "o", ms=11, mfc="none", mec="white", mew=2)
    ax.set_title("overall F1 on the training subjects")
    ax.figure.colorbar(image, ax=ax, label="F1", pad=0.02)
    return ax


def draw_comparison(ax: Axes, rows: Mapping[str, Mapping[str, float]], chance: float | None = None) -> Axes:
    """Draw F1 of several variants as grouped bars: rows[variant][kind or "overall"]; long names are wrapped."""
    parts = [*reversed(KINDS), "overall"]
    colours = {**KIND_COLOURS, "overall": "#000000"}
    width = 0.8 / len(parts)
    for place, part in enumerate(parts):
        heights = [scores[part] for scores in rows.values()]
        bars = ax.bar(
            np.arange(len(rows)) + (place - 1) * width, heights, width * 0.92, color=colours[part], label=part
        )
        ax.bar_label(bars, fmt="%.2f", fontsize=7, padding=1)
    if chance is not None:
        ax.axhline(chance, color=FALSE, ls=":", lw=1.2, label="chance, overall")
    most = max(12, 90 // len(rows))  # characters that have room below the bars of one variant
    wrap = functools.partial(textwrap.fill, width=most, break_long_words=False)
    names = ["\n".join(map(wrap, name.splitlines())) for name in rows]
    ax.set_xticks(range(len(rows)), names, fontsize=8 if len(rows) > 5 else None)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set(ylabel="F1", ylim=(0, 1.25))  # the numbers on bars of 1 stay below the legend
    ax.legend(ncols=4, loc="upper right", fontsize=8)
    return ax


# ---------------------------------------------------------------------------------------------------------------------
# A video of one's own


PART_COLOURS = {"brows": "#56B4E9", "eyelids": "#009E73", "nose": "#8C8C8C", "mouth": "#CC79A7"}
MOVEMENT_COLOURS = ("#D55E00", "#0072B2", "#009E73")
GAP_COLOURS = {
    "no face": "#B5B5B5",
    "missing": "#D9B44A",
    "damaged": "#D9B44A",
    "unread": "#B5B5B5",
    "cut": "#A03030",
}
# Lines of the 68 landmarks: jaw, brows, nose, eyes and lips, the last three closed.
FACE_LINES = (
    *(tuple(range(first, last)) for first, last in ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36))),
    *((*range(first, last), first) for first, last in ((36, 42), (42, 48), (48, 60), (60, 68))),
)
_SLOW_S = 3.0  # the median over so long is rest
_MOST_POINTS = 1600  # of a curve; more cannot be told apart


def draw_spotted(ax: Axes, found: Analysis, most_numbers: int = 60) -> Axes:
    """Draw what was spotted, MaE above ME, numbered in order of time, and below it blinks and what was not seen.

    What is doubtful is hatched.
    """
    fps, length = found.video.fps, found.video.length
    least = length / fps / 300
    rows = {"MaE": 0.0, "ME": -1.0, "blinks": -2.0, "not seen": -3.0}
    for number, span in enumerate(found.intervals, start=1):
        y = rows[span.kind]
        sure = {"hatch": "/////", "alpha": 0.55} if doubts(found, span) else {}
        _bar(ax, span, fps, least, y, facecolor=KIND_COLOURS[span.kind], edgecolor="white", lw=0, **sure)
        if len(found.intervals) <= most_numbers:
            middle = (span.onset + span.offset + 1) / 2 / fps
            ax.text(middle, y + 0.42, str(number), ha="center", va="bottom", fontsize=7)
    for first, last in found.blinks:
        blink = Interval(first, last, "ME")
        _bar(ax, blink, fps, least / 2, rows["blinks"], facecolor=PART_COLOURS["eyelids"], edgecolor="none")
    for gap in found.gaps:
        place = Interval(gap.first, gap.last, "MaE")
        _bar(ax, place, fps, least, rows["not seen"], facecolor=GAP_COLOURS[gap.reason], edgecolor="none")
    ax.set_yticks(list(rows.values()), list(rows))
    ax.set(xlim=(0, length / fps), ylim=(-3.6, 1.0))
    ax.tick_params(axis="y", length=0)
    reasons = [reason for reason in GAP_COLOURS if any(gap.reason == reason for gap in found.gaps)]
    handles = [Patch(color=GAP_COLOURS[reason], label=reason) for reason in reasons]
    if handles:
        ax.legend(handles=handles, ncols=5, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
    return ax


def draw_activity(ax: Axes, found: Analysis) -> Axes:
    """Draw how far the parts of the face are from where they rest, u: of each part the region that is furthest."""
    fps, curves = found.video.fps, found.curves
    seconds = curves.frames / fps
    shade_truth(ax, found.intervals, fps)
    for part, length in activity(found).items():
        ax.plot(*_envelope(seconds, length), color=PART_COLOURS[part], lw=0.9, label=part)
    ax.set(xlim=(0, found.video.length / fps), xlabel="time, s", ylabel="displacement, u")
    ax.set_ylim(bottom=0)
    ax.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
    return ax


def draw_movement(ax: Axes, found: Analysis, span: Interval, margin_s: float = 0.5) -> Axes:
    """Draw the displacement of the regions around an expression, from its onset; the strongest places named."""
    fps, curves = found.video.fps, found.curves
    first, last = span.onset - margin_s * fps, span.offset + margin_s * fps
    near = np.flatnonzero((curves.frames >= first) & (curves.frames <= last))
    rest = curves.shifts[np.abs(curves.frames - span.onset).argmin()]
    lengths = np.linalg.norm(curves.shifts[near] - rest, axis=2)  # (n, R) u
    seconds = curves.frames[near] / fps
    shade_truth(ax, [span], fps)
    ax.axvline(apex_of(span) / fps, color=KIND_COLOURS[span.kind], lw=0.9, ls=":")
    ax.plot(seconds, lengths, color="#9A9A9A", lw=0.6, alpha=0.7)
    strongest = strongest_movements(found, span)
    for movement, colour in zip(strongest, MOVEMENT_COLOURS, strict=False):
        ax.plot(seconds, lengths[:, movement.row], color=colour, lw=1.7, label=movement.place)
    if strongest:
        ax.legend(loc="upper left", fontsize=8)
    ax.set(xlabel="time, s", ylabel="from the onset, u", xlim=(max(0, first / fps), last / fps))
    inside = lengths[
        :, [movement.row for movement in strongest]
    ]  # a blink beside it may be larger, and is cut off
    ax.set_ylim(0, max(1.0, 1.4 * float(np.nanmax(inside, initial=0.0))))
    return ax


def draw_face_points(ax: Axes, landmarks: np.ndarray, colour: str, lw: float = 1.3) -> Axes:
    """Draw landmarks (68, 2), y down, as the lines of a face: a picture of a face that shows nobody's."""
    for line in FACE_LINES:
        ax.plot(*landmarks[list(line)].T, color=colour, lw=lw, solid_capstyle="round")
    ax.set_aspect("equal")
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_axis_off()
    return ax


def draw_caricature(ax: Axes, found: Analysis, span: Interval, t: int, alpha: float) -> Axes:
    """Draw the face at position t, its motion since the onset `alpha` times as large, over the face at the onset."""
    at_rest, moved = caricature(found, span, t, alpha)
    draw_face_points(ax, at_rest, "#B5B5B5", lw=1.0)
    return draw_face_points(ax, moved, KIND_COLOURS[span.kind])


def _envelope(seconds: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve with no more points than can be seen, its peaks kept."""
    each = -(-len(curve) // _MOST_POINTS)
    if each <= 1:
        return seconds, curve
    whole = len(curve) // each * each
    with np.errstate(invalid="ignore"):
        highest = np.fmax.reduce(curve[:whole].reshape(-1, each), axis=1)
    return seconds[:whole:each], highest
