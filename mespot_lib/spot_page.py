"""What was spotted in one video, written for whoever made the video: tables, figures, and a page to look at.

    spotted.csv     the intervals, with times in seconds       motion.csv     how far each region is from where it was
    gaps.csv        what was not seen, and why                 timeline.png   the whole video in one figure
    report.html     the page: nothing is loaded from outside   settings.json  facts, settings and versions

All of it appears at once, or nothing does: the files are written into a folder beside the one asked for, which is then
renamed. With `faces=False` not one pixel of the video is in any of them.
"""

import contextlib
import html
import io
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock, Timeout

from mespot_lib import __version__
from mespot_lib.interval import Interval
from mespot_lib.look import data_address, page_head
from mespot_lib.strips import Strip, drawn_alpha, strips, strongest_movements
from mespot_lib.user_video import (
    Analysis,
    apex_of,
    doubts,
    gaps_table,
    motion_table,
    spotted_table,
    summary,
)

FILES = ("spotted.csv", "motion.csv", "gaps.csv", "timeline.png", "report.html", "settings.json")
MOST_STRIPS = 120  # of the strongest expressions; a page with more is slow to open
_INK = "#12345e"  # in figures; becomes the colour of the text around them


class OutputError(ValueError):
    """The results cannot be written where they were asked for; the message says why."""


# ---------------------------------------------------------------------------------------------------------------------
# The folder


@contextlib.contextmanager
def reserved(folder: str | Path, force: bool = False) -> Iterator[Path]:
    """Yield an empty folder to write into; it becomes `folder` when the block ends without an error, else it vanishes.

    What a killed process left is removed by the next one.

    Raises
    ------
    OutputError
        If `folder` is a file or holds anything, unless `force` is set and it holds nothing but results; or if another
        process writes the same results.
    """
    folder = Path(folder).expanduser().absolute()
    _check_free(folder, force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial")
    lock = FileLock(f"{partial}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(f"{folder}: another process is writing it") from None
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        _check_free(folder, force)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _check_free(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder")
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    strange = [name for name in there if name not in FILES]
    if there and not force:
        raise OutputError(f"{folder} is not empty; name another folder, or replace its results with --force")
    if strange:
        raise OutputError(f"{folder} holds {strange[0]}, which is no result and stays: name another folder")


def write_results(found: Analysis, folder: Path, faces: bool = True) -> None:
    """Write all files of `FILES` into an empty folder.

    faces : show pictures of the face; if not, landmarks are drawn instead and the video is not read again.
    """
    spotted_table(found).to_csv(folder / "spotted.csv", index=False, lineterminator="\n")
    motion_table(found).to_csv(folder / "motion.csv", index=False, lineterminator="\n")
    gaps_table(found).to_csv(folder / "gaps.csv", index=False, lineterminator="\n")
    (folder / "timeline.png").write_bytes(_timeline(found, "png"))
    with open(folder / "report.html", "w", encoding="utf-8", newline="") as file:
        file.writelines(_page(found, faces))
    record = settings_record(found, faces)
    (folder / "settings.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def settings_record(found: Analysis, faces: bool) -> dict[str, Any]:
    """Return facts, settings and versions as plain JSON values."""
    return {
        "media": dict(found.media),
        "settings": dict(found.settings) | {"faces_shown": faces},
        "summary": summary(found),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what the result depends on."""
    import platform
    from importlib import metadata

    names = ("numpy", "scipy", "opencv-python", "av")
    return {
        "mespot": __version__,
        "python": platform.python_version(),
        **{n: metadata.version(n) for n in names},
    }


# ---------------------------------------------------------------------------------------------------------------------
# Figures


def _timeline(found: Analysis, kind: str) -> bytes:
    """Draw the whole video: what was spotted, what was not seen, and how the face moved. Return PNG or SVG."""
    from mespot_lib import viz

    with _figure((11.5, 4.4)) as figure:
        lanes, curves = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
        viz.draw_spotted(lanes, found)
        viz.draw_activity(curves, found)
        return _saved(figure, kind)


def _movement(found: Analysis, span: Interval, faces: bool) -> bytes:
    """Draw one expression as lines of the face at its apex, or if no faces are shown at three times, and as curves."""
    from mespot_lib import viz

    alpha = drawn_alpha(found, span)
    times = {"onset": span.onset, "apex": apex_of(span), "offset": span.offset}
    shown = ["apex"] if faces else list(times)
    with _figure((5.6 if faces else 10.4, 2.3)) as figure:
        axes = figure.subplots(1, len(shown) + 1, width_ratios=[*[1.0] * len(shown), 1.9])
        for ax, name in zip(axes, shown, strict=False):
            viz.draw_caricature(ax, found, span, times[name], alpha)
            ax.set_title(
                name if name == "onset" else f"{name}, motion x {alpha:.1f}", loc="center", fontsize=9
            )
        viz.draw_movement(axes[-1], found, span)
        return _saved(figure, "svg")


@contextlib.contextmanager
def _figure(size: tuple[float, float]) -> Iterator[Any]:
    """Yield a figure of its own, not pyplot's: no window, no state left behind; ink as the text of the page."""
    import matplotlib
    from matplotlib.figure import Figure

    from mespot_lib import viz

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style = viz.STYLE | dict.fromkeys(inked, _INK) | {"svg.hashsalt": "mespot", "font.size": 9}
    with matplotlib.rc_context(style):
        yield Figure(figsize=size, layout="constrained")


def _saved(figure: Any, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "png":
        figure.savefig(out, format="png", dpi=130, metadata={"Software": None})
    else:
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _inline(svg: bytes, label: str) -> str:
    """Return a drawing as part of a page: in the colour of its text, without names that could stand twice."""
    text = svg.decode()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[a-z]+\w*_\d+"', "", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)


# ---------------------------------------------------------------------------------------------------------------------
# The page, part by part, so that no more than one expression is in memory


def _page(found: Analysis, faces: bool) -> Iterator[str]:
    facts = summary(found)
    yield page_head(f"{facts['video']}: what was spotted", _STYLE)
    yield _header(found, facts)
    yield "<main>"
    yield _summary(found, facts)
    yield _overview(found)
    if found.intervals:
        yield _table(found)
        yield from _one_by_one(found, faces)
    yield _gaps(found)
    yield _READING
    yield _how(found, faces)
    yield "</main></html>\n"


def _header(found: Analysis, facts: Mapping[str, Any]) -> str:
    media = found.media
    badge = ' <span class="badge">synthetic data</span>' if found.video.synthetic else ""
    size = f"{media['width']} x {media['height']} px, " if media["width"] else ""
    return f"""<header><h1>{html.escape(facts["video"])}{badge}</h1>
<p>Facial expressions spotted by their motion. {_clock(media["seconds"])} min, {size}{media["fps"]:.4g} frames per
second.</p></header>"""


def _summary(found: Analysis, facts: Mapping[str, Any]) -> str:
    tiles = (
        ("ME", facts["ME"], "micro-expressions, at most half a second"),
        ("MaE", facts["MaE"], "macro-expressions, longer than that"),
        ("", facts["doubtful"], "of them doubtful, with the reason"),
        ("", _clock(facts["seconds"]), "minutes looked at"),
        ("", f"{facts['face_share']:.0%}", "of the pictures show a face"),
    )
    cells = "".join(f'<li class="{kind}"><b>{value}</b> {text}</li>' for kind, value, text in tiles)
    warned = "".join(f"<li>{html.escape(line)}</li>" for line in facts["warnings"])
    warned = (
        f'<div class="warned" role="note"><h3>Mind when reading</h3><ul>{warned}</ul></div>'
        if warned
        else "<p>No gaps, no cuts, nothing that makes this video hard.</p>"
    )
    nothing = (
        ""
        if found.intervals
        else "<p><strong>Nothing was spotted.</strong> Nothing moved as expressions do, or too little to be told from "
        "noise.</p>"
    )
    return f'<section><h2>In short</h2><ul class="tiles">{cells}</ul>{nothing}{warned}</section>'


def _overview(found: Analysis) -> str:
    label = (
        f"Timeline of {len(found.intervals)} spotted expressions and {len(found.gaps)} gaps; the table below has "
        "the same times"
    )
    return f"""<section><h2>The whole video</h2>
<figure class="scroll">{_inline(_timeline(found, "svg"), label)}<figcaption>Above: what was spotted, numbered as below
(hatched: doubtful), blinks, and what was not seen. Below: how far each part of the face is from where it rests, in face
units (u, about half a millimetre).</figcaption></figure></section>"""


def _table(found: Analysis) -> str:
    rows = []
    for number, (span, strength) in enumerate(zip(found.intervals, found.strengths, strict=True), start=1):
        times = "".join(
            f"<td>{_clock(t / found.video.fps, 2)}" for t in (span.onset, apex_of(span), span.offset)
        )
        rows.append(
            f'<tr class="{span.kind}"><td><a href="#e{number}">{number}</a><td class=kind>{span.kind}{times}'
            f"<td>{(span.offset - span.onset) / found.video.fps:.2f}<td>{strength:.2f}"
            f"<td class=where>{html.escape(_where(found, span))} {_doubts(found, span)}"
        )
    return f"""<section><h2>What was spotted</h2><div class="scroll"><table>
<thead><tr><th scope=col>#<th scope=col>kind<th scope=col>onset<th scope=col>apex<th scope=col>offset
<th scope=col>seconds<th scope=col>strength<th scope=col class=where>where it moves most</thead>
<tbody>{"".join(rows)}</tbody></table></div>
<p class="protocol">Times in min:s from the first frame. Onset: it begins; apex: it is strongest; offset: it is over.
Strength: motion as a multiple of the least that counts. Left and right are sides of the picture.</p></section>"""


def _where(found: Analysis, span: Interval) -> str:
    moves = strongest_movements(found, span)
    return "; ".join(f"{one.place} {one.direction}" for one in moves) or "unknown"


def _doubts(found: Analysis, span: Interval) -> str:
    lines = doubts(found, span)
    return f"<mark>Doubtful: {html.escape('; '.join(lines))}.</mark>" if lines else ""


def _one_by_one(found: Analysis, faces: bool) -> Iterator[str]:
    numbered = dict(enumerate(found.intervals, start=1))
    strongest = sorted(numbered, key=lambda number: -found.strengths[number - 1])[:MOST_STRIPS]
    shown = {number: numbered[number] for number in sorted(strongest)}
    yield "<section><h2>One by one</h2>"
    if len(shown) < len(numbered):
        yield f"<p>The {len(shown)} strongest of {len(numbered)}.</p>"
    pictures = _pictures(found, shown.values()) if faces else iter(())
    waiting = next(pictures, None)
    for number, span in shown.items():
        strip = waiting if waiting is not None and waiting.span is span else None
        yield _expression(found, number, span, strip, faces)
        if strip is not None:
            waiting = next(pictures, None)
    yield "</section>"


def _pictures(found: Analysis, spans: Iterable[Interval]) -> Iterator[Strip]:
    return strips(found, spans)


def _expression(found: Analysis, number: int, span: Interval, strip: Strip | None, faces: bool) -> str:
    fps = found.video.fps
    title = f"{number} · {span.kind} at {_clock(apex_of(span) / fps, 2)}"
    where = _where(found, span)
    label = f"Displacement curve of expression {number}; it moves most at: {where}"
    drawing = _inline(_movement(found, span, faces=strip is not None), label)
    photos = _photos(strip, number, fps) if strip else _absent(faces)
    return f"""<article id="e{number}" class="{span.kind}"><h3>{title}</h3>
<p>{(span.offset - span.onset) / fps:.2f} s. Moves most: {html.escape(where)}. {_doubts(found, span)}</p>
<div class="strip">{photos}<figure>{drawing}</figure></div></article>"""


def _absent(faces: bool) -> str:
    return "<p>Its pictures could not be read a second time.</p>" if faces else ""


def _photos(strip: Strip, number: int, fps: float) -> str:
    names = ("onset", "apex", "offset")
    parts = [
        _photo(crop, f"{name}, {_clock(t / fps, 2)}", f"Face at the {name} of expression {number}")
        for name, t, crop in zip(names, strip.frames, strip.crops, strict=True)
    ]
    if strip.alpha > 1.05:
        caption = f"motion x {strip.alpha:.1f}"
        alt = f"Face at the onset of expression {number} with the motion to the apex {strip.alpha:.1f} times as large"
        parts.append(_photo(strip.magnified, caption, alt))
    return "".join(parts)


def _photo(image: np.ndarray, caption: str, alt: str) -> str:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 86])
    assert done
    address = data_address(data.tobytes(), "image/jpeg")
    return (
        f'<figure class="photo"><img alt="{alt}" src="{address}"><figcaption>{caption}</figcaption></figure>'
    )


def _gaps(found: Analysis) -> str:
    if not found.gaps:
        return ""
    fps = found.video.fps
    rows = "".join(
        f"<tr><td>{_clock(gap.first / fps, 2)}<td>{_clock(gap.last / fps, 2)}"
        f"<td>{(gap.last - gap.first + 1) / fps:.2f}<td class=where>{_REASONS[gap.reason]}"
        for gap in found.gaps[:500]
    )
    more = f"<p>The first 500 of {len(found.gaps)}; gaps.csv has all.</p>" if len(found.gaps) > 500 else ""
    return f"""<section><h2>What was not seen</h2><details{" open" if len(found.gaps) < 12 else ""}>
<summary>{len(found.gaps)} stretches</summary><div class="scroll"><table>
<thead><tr><th scope=col>from<th scope=col>to<th scope=col>seconds<th scope=col class=where>why</thead>
<tbody>{rows}</tbody></table></div>{more}</details></section>"""


_REASONS = {
    "no face": "no face was found",
    "missing": "the video has no frames here",
    "damaged": "the frames cannot be decoded",
    "unread": "behind the fault that stopped the reading",
    "cut": "a cut: another picture begins",
}


def _how(found: Analysis, faces: bool) -> str:
    record = settings_record(found, faces)
    lines = {**record["versions"], **{f"video.{k}": v for k, v in record["media"].items()}}
    lines |= {name: value for name, value in record["settings"].items() if name != "config"}
    plain = "".join(f"<dt>{html.escape(k)}<dd>{html.escape(_text(v))}" for k, v in lines.items())
    config = html.escape(json.dumps(record["settings"]["config"], indent=1))
    return f"""<section><h2>How it was made</h2>
<p>Method {html.escape(record["settings"]["method"])}; thresholds as given to it on drawn faces, nothing was fitted to
this video. 1 u is 1/64 of the distance between the inner corners of the eyes.</p>
<details><summary>Facts, settings, versions</summary><dl>{plain}</dl><pre>{config}</pre></details></section>"""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _clock(seconds: float, digits: int = 0) -> str:
    """Return min:s, for instance 1:02.50.

    >>> _clock(62.5, 2), _clock(59.9)
    ('1:02.50', '1:00')
    """
    whole = round(seconds, digits)
    minutes = int(whole // 60)
    return f"{minutes}:{whole - 60 * minutes:0{3 + digits if digits else 2}.{digits}f}"


_READING = """<section><h2>What this can and cannot tell</h2>
<ul>
<li><strong>It tells when a face moved</strong> away from how it was and back again, for how long, and where. It does
not tell what was felt, and never whether somebody lies.</li>
<li><strong>Not all that moves is an expression.</strong> Talking, chewing, swallowing, blinking hard, turning the head,
a hand before the face, or another light can be taken for one. Look at the pictures of each.</li>
<li><strong>Not every expression is found.</strong> The weakest micro-expressions move the skin by less than the noise
of the camera. On drawn test faces about half of the micro-expressions are found, and there are false alarms; on
people it may be fewer.</li>
<li><strong>Micro or macro is a matter of duration here:</strong> at most half a second is called micro. A blink of the
brow in passing is as short.</li>
<li><strong>A good video helps:</strong> one person, frontal, the face at least a third of the height of the picture,
steady and bright light, no cuts, 30 frames per second or more, and nobody talking.</li>
</ul></section>"""

_STYLE = """
h3 { font-size: 16px; margin: 0 0 6px }
.tiles { list-style: none; display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px;
  padding: 0; margin: 12px 0 18px }
.tiles li { border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; color: var(--soft); font-size: 13px }
.tiles b { display: block; font-size: 30px; line-height: 1.2; color: var(--ink) }
.tiles .ME b, .ME .kind, article.ME h3 { color: var(--ME) }
.tiles .MaE b, .MaE .kind, article.MaE h3 { color: var(--MaE) }
.warned { background: var(--mark); border-radius: 8px; padding: 12px 18px }
.warned ul { margin: 0; padding-left: 20px }
th.where, td.where { text-align: left; white-space: normal }
td a { color: inherit }
svg { max-width: 100%; height: auto; display: block }
article { border-top: 1px solid var(--line); padding: 16px 0; break-inside: avoid }
article p { margin: 0 0 10px; color: var(--soft) }
.strip { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start }
.strip figure { margin: 0; flex: 0 1 auto; min-width: 0 }
.strip .photo { flex: 0 0 auto; width: 140px }
.photo img { border-radius: 6px; display: block }
.photo figcaption { text-align: center; margin-top: 4px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; font-size: 13px }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
pre { font-size: 12px; overflow-x: auto }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--MaE); outline-offset: 2px }
"""
