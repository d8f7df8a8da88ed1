"""Make the pictures of the README, in reports/reference: the pipeline, a spotted micro-expression, the explorer.

    python tools/readme_figures.py [pipeline] [expression] [explorer]

Everything is drawn: a synthetic video, and the reference runs on synthetic videos. The explorer is photographed in the
system's Chromium, which playwright drives.
"""

import shutil
import sys
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from mespot_lib import explore_page, face, places, strips, viz
from mespot_lib.catalogue import load_dataset
from mespot_lib.features.flow import dense_flow
from mespot_lib.features.motion import region_crop
from mespot_lib.frames import read_frame
from mespot_lib.interval import iou
from mespot_lib.methods import zhang2020
from mespot_lib.user_video import analyse_video

FOLDER = places.repository_root() / "reports" / "reference"
DATASET, VIDEO, OTHERS = "synthetic_casme2", "synthetic_casme2/s15/15_0102", 2
SIZE_PX = (1280, 690)  # of the browser's window
QUALITY = 84


def draw_pipeline(path: Path) -> None:
    """Draw every step from a frame to scored intervals, on one video."""
    manifest, config = load_dataset(DATASET), zhang2020.ZhangConfig.quick()
    clip = manifest.video(next(uid for uid in manifest.uids if uid.startswith(VIDEO)))
    truth = manifest.truth(clip.uid)
    event = max(truth, key=lambda span: span.length)
    others = [subject for subject in manifest.subjects if subject != clip.subject][:OTHERS]
    train = manifest.only([uid for uid in manifest.uids if manifest.video(uid).subject in others])
    fitted, scores = zhang2020.fit(train, config), zhang2020.score_video(clip, config)
    moments = [read_frame(clip, t, grey=False) for t in (event.onset, event.apex)]
    landmarks = face.require_face(moments[0], clip.uid).landmarks
    matrix = region_crop(landmarks, 256)
    crops = [face.crop_face(viz.as_grey(image), matrix, 256) for image in moments]
    inside = face.transform_points(landmarks, matrix)

    fig, axes = plt.subplots(2, 3, figsize=(12, 6.6), height_ratios=(1.5, 1))
    viz.show_image(axes[0, 0], moments[1], clip)
    viz.outline_crop(axes[0, 0], matrix, 256)
    viz.draw_regions(axes[0, 1], crops[0], clip, inside)
    viz.draw_flow(axes[0, 2], crops[1], clip, dense_flow(*crops))
    viz.draw_shifts(axes[1, 0], scores.frames, scores.shifts, clip.fps)
    viz.shade_truth(axes[1, 0], truth, clip.fps)
    viz.draw_fused(axes[1, 1], scores, fitted.thresholds_u, truth)
    viz.draw_timeline(axes[1, 2], truth, fitted.spot(scores), clip.fps, clip.length)
    titles = (
        *(
            "1  a frame, its face found",
            "2  the face, aligned; regions",
            "3  how the face moves, onset to apex",
        ),
        *(
            "4  displacement of the regions",
            "5  score of each kind, thresholds",
            "6  intervals beside the truth",
        ),
    )
    for ax, title in zip(axes.flat, titles, strict=True):
        ax.set_title(title)
    for ax in axes[1, 1:]:
        ax.get_legend().remove()  # the colours are those of all figures, and the README names them
    save(fig, path)


def draw_expression(path: Path) -> None:
    """Draw the surest micro-expression that is spotted in a video where there is one: pictures, and what moved."""
    manifest = load_dataset(DATASET)
    clip = manifest.video(next(uid for uid in manifest.uids if uid.startswith(VIDEO)))
    found = analyse_video(clip.path, fps=clip.fps)
    true = [span for span in manifest.truth(clip.uid) if span.kind == "ME"]
    hits = [s for s in found.intervals if s.kind == "ME" and any(iou(s, t) >= 0.5 for t in true)]
    span = max(hits, key=lambda one: one.score)
    (strip,) = strips.strips(found, [span], size=256)
    pictures = [*strip.crops, strip.magnified]
    titles = [
        f"{name}, {t / clip.fps:.2f} s"
        for name, t in zip(("onset", "apex", "offset"), strip.frames, strict=True)
    ]
    fig = plt.figure(figsize=(12, 5.4))
    grid = fig.add_gridspec(2, 4, height_ratios=(1.45, 1))
    for column, (picture, title) in enumerate(
        zip(pictures, [*titles, f"the same motion x {strip.alpha:.0f}"], strict=True)
    ):
        ax = fig.add_subplot(grid[0, column])
        ax.imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        ax.set_title(title)
        ax.set_axis_off()
    below = fig.add_subplot(grid[1, :])
    viz.draw_movement(below, found, span)
    below.set_title(f"a micro-expression of {span.length / clip.fps:.2f} s, as it was spotted (shaded)")
    save(fig, path)


def photograph_explorer(path: Path) -> None:
    """Photograph the threshold explorer as it opens on the reference runs."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with explore_page.served(FOLDER, port=8991) as (_, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=dict(zip(("width", "height"), SIZE_PX, strict=True)))
        page.set_default_timeout(180_000)
        page.wait_for_timeout(8000)  # until the server listens
        page.goto(address)
        page.wait_for_selector(".mespot-views .bar")
        page.wait_for_timeout(4000)  # until the curves over the settings are there, too
        data = np.frombuffer(page.screenshot(), np.uint8)
        browser.close()
    cv2.imwrite(str(path), cv2.imdecode(data, cv2.IMREAD_COLOR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def save(fig: plt.Figure, path: Path) -> None:
    """Store a figure as a progressive JPEG: the noise of a camera makes a PNG ten times as large."""
    fig.savefig(path, dpi=80, pil_kwargs={"quality": QUALITY, "progressive": True, "optimize": True})
    plt.close(fig)


PICTURES = {"pipeline": draw_pipeline, "expression": draw_expression, "explorer": photograph_explorer}


def main() -> None:
    """Make the pictures that are named, or all."""
    plt.switch_backend("agg")
    plt.rcParams.update(viz.STYLE)
    for name in sys.argv[1:] or PICTURES:
        path = FOLDER / f"{name}.jpg"
        PICTURES[name](path)
        print(f"{path.relative_to(places.repository_root())}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
