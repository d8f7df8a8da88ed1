"""The explorer in a real browser, as a page and in JupyterLab: keys in, numbers and pictures out.

Chromium comes from the system (Debian: `apt-get install chromium`), playwright only drives it. Loading is retried,
since now and then a page hangs when a kernel starts; what is looked at afterwards is not. Who waits in
vain for numbers is told what page and kernel have said to each other.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from stored import write_runs
from wire import heard, listen

from mespot_lib import explore, explore_page, metrics, places, respot

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
LOADS_S = (45, 90, 150)  # for one try after the other: a busy machine is no reason to fail
SCREENSHOTS = os.environ.get("MESPOT_SCREENSHOTS")  # a folder, to look at what the tests have seen

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("playwright", "voila")),
        reason="needs playwright and voila, which `make` installs",
    ),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Return runs of the size of CAS(ME)^2: 22 people, 110 videos of 80 seconds at 30 frames per second."""
    folder = tmp_path_factory.mktemp("reports")
    write_runs(folder, "zhang2020", people=22, videos=5, length=2400)
    return folder


@contextlib.contextmanager
def opened(browser, address, show):
    """Open an address in a new page and make it show the explorer; start again if that does not come about."""
    from playwright.sync_api import Error

    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    for seconds in LOADS_S:
        page = context.new_page()
        page.set_default_timeout(seconds * 1000)
        listen(page)
        try:
            page.goto(address)
            show(page)
            page.wait_for_selector(".mespot-views .bar")
            break
        except Error:
            page.close()
            if seconds == LOADS_S[-1]:
                raise
    yield page
    context.close()


def wait_until_served(address):
    until = time.monotonic() + LOADS_S[-1]
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"nothing is served at {address}")


@pytest.fixture(scope="module")
def page_in_voila(browser, reports):
    with explore_page.served(reports, port=8951) as (_, address):
        wait_until_served(address + "voila/static/nothing")
        with opened(browser, address, lambda page: None) as page:
            yield page


# ---------------------------------------------------------------------------------------------------------------------
# What a reader sees and does


def version(page):
    return int(page.locator("table[data-version]").get_attribute("data-version"))


def shown(page):
    """Return the table of counts, once the picture of the same version is there."""
    number = version(page)
    with told(page, f"picture of version {number}"):
        page.wait_for_selector(f'.mespot-views[data-version="{number}"]')
    cells = page.locator("td[data-cell]").evaluate_all(
        "all => all.map(one => [one.dataset.cell, one.innerText])"
    )
    return {name: float(value) for name, value in cells if "here" not in name}


@contextlib.contextmanager
def told(page, what):
    """Say what page and kernel have said to each other when something is waited for in vain."""
    from playwright.sync_api import TimeoutError as Late

    try:
        yield
    except Late:
        raise AssertionError(f"no {what}\n{heard(page)}") from None


def counted(folds, changes, t_eval=0.5):
    """Return what the library counts."""
    score = metrics.score(respot.truth_of(folds), respot.spot_again(folds, changes), t_eval)
    names = ("tp", "fp", "fn", "precision", "recall", "f1")
    return {f"{part} {n}": round(getattr(score[part], n), 3) for part in metrics.PARTS for n in names}


def row_of(page, label):
    return page.locator(".widget-hslider").filter(has=page.get_by_text(label, exact=True))


FOLLOWS = "before => Number(document.querySelector('table[data-version]').dataset.version) > before"


def readout(page, label):
    return row_of(page, label).locator(".widget-readout").inner_text()


def press(page, label, keys):
    """Move a slider by the keyboard and return the value it says, once numbers and picture have followed."""
    for key in keys:
        before = version(page)
        row_of(page, label).locator(".noUi-handle").focus()
        page.keyboard.press(key)
        follow(page, before, f"{key} on {label!r}")
    shown(page)
    return readout(page, label)


def follow(page, before, what):
    """Wait for new numbers, by the clock: a browser that paints no frame has numbers nevertheless."""
    with told(page, f"new numbers after {what}"):
        page.wait_for_function(FOLLOWS, arg=before, polling=20)


def bars(page):
    every = page.locator(".mespot-views .bar")
    return every.evaluate_all("all => all.map(bar => [bar.dataset.id, bar.dataset.outcome])")


def expected_bars(folds, uid, changes, t_eval=0.5):
    truth, spotted = respot.truth_of(folds)[uid], respot.spot_again(folds, changes)[uid]
    fps = respot.facts_of(folds)[uid].fps
    views = explore.bars_view(respot.bars(truth, spotted, t_eval), fps)
    return [[view["id"], view["outcome"]] for view in views]


def keep_picture(page, name):
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


def first_folds(reports, chosen="", method="zhang2020"):
    found, _ = explore.newest_runs(reports)
    return explore.read_folds(found["toy", method], chosen)


def walk_through(page, folds, name):
    """Open, move, compare, reset: the same in JupyterLab and as a page."""
    uid = page.locator("select").filter(has=page.locator("option", has_text="toy/s00/v0")).first.input_value()
    before = shown(page)
    assert before == counted(folds, {})
    picture = page.locator(".timeline").inner_html()
    keep_picture(page, f"{name}_first")

    value = press(page, "threshold ME, u", ["ArrowRight"] * 3)
    assert value == "0.65"
    page.get_by_role("slider", name="threshold ME, u").wait_for()  # as a screen reader finds it
    assert shown(page) == counted(folds, {"threshold_me_u": 0.65}) != before
    assert bars(page) == expected_bars(folds, uid, {"threshold_me_u": 0.65})
    assert page.locator(".timeline").inner_html() != picture
    assert press(page, "T_eval", ["PageUp"]) != "0.5"
    t_eval = float(readout(page, "T_eval"))
    assert shown(page) == counted(folds, {"threshold_me_u": 0.65}, t_eval)
    assert "no result" in page.locator(".mespot-warning").first.inner_text()

    before_reset = version(page)
    page.get_by_role("button", name="Best on training subjects").press("Enter")
    follow(page, before_reset, "a reset")
    assert shown(page) == before
    assert readout(page, "threshold ME, u") == "0.5"


def test_the_page_follows_the_keyboard(page_in_voila, reports):
    walk_through(page_in_voila, first_folds(reports), "voila")


def test_no_code_is_shown(page_in_voila):
    assert "mespot_lib" not in page_in_voila.locator("body").inner_text()
    assert "from mespot_lib" not in page_in_voila.content()


def test_intervals_are_told_and_chosen_by_keyboard(page_in_voila):
    page = page_in_voila
    first = page.locator(".mespot-views .bar").first
    first.focus()
    assert page.locator(".mespot-views .tip").inner_text() == first.get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    second = page.locator(".mespot-views .bar").nth(1)
    assert second.evaluate("bar => bar === document.activeElement")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=No frames:")  # of a toy there are none
    assert second.get_attribute("aria-pressed") == "true"
    assert second.get_attribute("aria-label") in page.locator(".mespot-said").last.inner_text()


def test_hovering_tells_the_interval(page_in_voila):
    bar = page_in_voila.locator(".mespot-views .bar rect").nth(2)
    bar.hover()
    words = page_in_voila.locator(".mespot-views .tip").inner_text()
    assert words == page_in_voila.locator(".mespot-views .bar").nth(2).get_attribute("aria-label")
    assert "frames" in words


def test_the_oracle_colours_the_page(page_in_voila, reports):
    page = page_in_voila
    before = shown(page)
    page.get_by_role("button", name="Oracle").click()
    page.wait_for_selector("text=ORACLE, no result")
    page.wait_for_selector(".mespot-views.oracle")
    keep_picture(page, "voila_oracle")
    assert shown(page)["overall f1"] >= before["overall f1"]
    page.get_by_role("button", name="Best on training subjects").click()
    page.wait_for_selector(".mespot-views:not(.oracle)")
    assert shown(page) == counted(first_folds(reports), {})


def test_an_export_can_be_saved(page_in_voila, tmp_path):
    page = page_in_voila
    press(page, "T_nms", ["ArrowRight"])
    page.get_by_role("button", name="Export").click()
    files = {}
    for ending in ("yaml", "svg", "png"):
        with page.expect_download() as waiting:
            page.locator(f'a[download$=".{ending}"]').click()
        waiting.value.save_as(tmp_path / f"file.{ending}")
        files[ending] = (tmp_path / f"file.{ending}").read_bytes()
    keep_picture(page, "voila_export")
    assert files["svg"].lstrip().startswith(b"<?xml")
    assert files["png"].startswith(b"\x89PNG")
    given = dict(line.split(": ", 1) for line in files["yaml"].decode().splitlines())
    assert json.loads(given["changes"]) == {"t_nms": 0.25}
    page.get_by_role("button", name="Best on training subjects").click()


def test_all_people_at_once(page_in_voila, reports):
    """Of a result of the size of CAS(ME)^2, also when a key comes while the curve over the setting is being counted."""
    page = page_in_voila
    folds = first_folds(reports, "all")
    expected = choose_all(page, folds)
    assert shown(page) == expected
    keep_picture(page, "voila_all")
    for key, wait_ms in (("ArrowRight", 0), ("ArrowRight", 300), ("ArrowLeft", 900), ("ArrowLeft", 300)):
        page.wait_for_timeout(wait_ms)
        value = press(page, "threshold ME, u", [key])
        assert shown(page) == counted(folds, {"threshold_me_u": float(value)})


def choose_all(page, folds):
    """Choose all folds by the keyboard and return their counts, once the explorer of all is there."""
    expected = counted(folds, {})
    page.locator("select[multiple]").focus()
    page.keyboard.press("Control+a")
    with told(page, "numbers of all people"):
        page.wait_for_function(
            "tp => Number(document.querySelector('td[data-cell=\"overall tp\"]')?.innerText) === tp",
            arg=expected["overall tp"],
            polling=20,
        )
    return expected


# ---------------------------------------------------------------------------------------------------------------------
# JupyterLab


@pytest.fixture(scope="module")
def page_in_lab(browser, reports, tmp_path_factory):
    """Open the explorer's cells of notebook 70 in JupyterLab, with no settings but its own."""
    folder = tmp_path_factory.mktemp("lab")
    source = places.repository_root() / "notebooks" / "70_threshold_explorer.ipynb"
    notebook = json.loads(source.read_text(encoding="utf-8"))
    taken = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    chosen = [*taken[:2], *(cell for cell in taken if "somebody_looks" in "".join(cell["source"]))]
    given = f"\nreports, dataset, method, fold = {str(reports)!r}, 'toy', 'zhang2020', ''"
    chosen[0]["source"] = "".join(chosen[0]["source"]) + given
    chosen[1]["source"] = "".join(chosen[1]["source"]).replace("viz.use_style()", "")
    for cell in chosen:
        cell.update(outputs=[], execution_count=None)
    (folder / "page").mkdir()
    (folder / "page" / "explorer.ipynb").write_text(json.dumps(notebook | {"cells": chosen}))
    places_ = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
        "JUPYTER_RUNTIME_DIR",
    )
    environment = os.environ | {name: str(folder / name.lower()) for name in places_}
    environment |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONPATH": str(places.repository_root())}
    with explore_page.reserved_port("127.0.0.1", 8961) as port, lab(folder, port, environment):
        wait_until_served(f"http://127.0.0.1:{port}/lab")
        with opened(browser, f"http://127.0.0.1:{port}/lab/tree/explorer.ipynb?reset", run_all) as page:
            yield page


@contextlib.contextmanager
def lab(folder, port, environment):
    """Serve the notebooks of folder/page in JupyterLab while the block runs."""
    options = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}")
    options += ("--IdentityProvider.token=", "--LabApp.news_url=", "--ServerApp.log_level=ERROR")
    command = [sys.executable, "-m", "jupyterlab", *options, "--notebook-dir", str(folder / "page")]
    server = subprocess.Popen(command, env=environment, cwd=folder)
    try:
        yield
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=20)
        server.kill()


def run_all(page):
    """Run all cells; an order before the kernel listens is lost, so it is given until a prompt has a number."""
    from playwright.sync_api import TimeoutError as Late

    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/")
    for _ in range(6):
        page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        with contextlib.suppress(Late):
            page.wait_for_selector(".jp-InputPrompt >> text=/\\[1\\]/", timeout=6000)
            return


def test_the_notebook_follows_the_keyboard_in_jupyterlab(page_in_lab, reports):
    walk_through(page_in_lab, first_folds(reports), "lab")


# ---------------------------------------------------------------------------------------------------------------------
# For the record


# What the eye waits for: from a key to the new numbers, and to the frame in which the new picture is painted.
STOPWATCH = """
() => {
  const seen = (window.mespotTimes = []);
  let pressed = 0, numbers = 0;
  document.addEventListener("keydown", () => { pressed = performance.now(); numbers = 0; }, true);
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const element = target.nodeType === 1 ? target : target.parentElement;
      const table = "table[data-version]";
      if (!numbers && (element.querySelector(table) || element.closest(table)))
        numbers = performance.now() - pressed;
      if (element.classList && element.classList.contains("mespot-views") && element.dataset.version && numbers) {
        const took = numbers;
        numbers = 0;
        requestAnimationFrame(() => setTimeout(() => seen.push([took, performance.now() - pressed]), 0));
      }
    }
  }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-version"] });
}
"""


@pytest.mark.slow
def test_bench_of_the_explorer(browser, tmp_path):
    """Write how long the explorer takes for each kind of scores to reports/benchmarks/explorer.json."""
    labels = {"zhang2020": "threshold ME, u", "yap2022_3dcnn": "p ME, peak", "mesnet": "T_CRN"}
    rows = {}
    for method, label in labels.items():
        write_runs(tmp_path / method, method, people=22, videos=5, length=2400)
        with explore_page.served(tmp_path / method, port=8941) as (_, address):
            wait_until_served(address + "voila/static/nothing")
            with opened(browser, address, lambda page: None) as page:
                choose_all(page, first_folds(tmp_path / method, "all", method))
                numbers, picture = zip(*latencies(page, label, 24), strict=True)
        rows[method] = {
            name: {"median": round(sorted(column)[len(column) // 2]), "most": round(max(column))}
            for name, column in (("numbers_ms", numbers), ("picture_ms", picture))
        }
    facts = {
        "videos": 110,
        "people": 22,
        "frames": 2400,
        "keys": 24,
        "browser": "Chromium, Voila, one machine",
    }
    facts |= {
        "load_average": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
    }  # more load than cores slows all
    path = places.repository_root() / "reports" / "benchmarks" / "explorer.json"
    path.write_text(json.dumps(facts | {"methods": rows}, indent=2) + "\n")


def latencies(page, label, count):
    """Return milliseconds from a key to new numbers and to the painted picture, for each of some keys."""
    page.evaluate(STOPWATCH)
    for number in range(count):
        press(page, label, ["ArrowRight" if number % 4 < 2 else "ArrowLeft"])
        page.wait_for_timeout(700)  # until the curve over the setting is there, too
    return page.evaluate("() => window.mespotTimes")
