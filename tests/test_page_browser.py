"""The report in a browser: nothing is loaded from outside, nothing hangs over the edge, on a projector and a phone."""

import shutil

import pytest
from finished import TRUE, finish, many

from mespot_lib import page

SIZES = [(1280, 800), (390, 844)]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as tool:
        started = tool.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with everything on it: several methods with long names, some folds missing, claims, failures."""
    folder = tmp_path_factory.mktemp("full")
    people = [f"s{i:02d}" for i in range(6)]
    for i, method in enumerate(
        ("zhang2020", "yap2022_3dcnn", "a_method_with_a_rather_long_name_indeed", "mesnet")
    ):
        for j, fold in enumerate(people[: 6 - (i == 1)]):
            finish(folder, people, fold, TRUE[: (i + j) % 4 + 1], method=method, dataset="synthetic_casme2")
    many(folder, methods=3, people=4)
    (folder / "runs" / "toy0" / "m0" / "half-written-with-a-name-that-goes-on-and-on").mkdir()
    return page.write_report(folder)[0]


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return page.write_report(tmp_path_factory.mktemp("empty"))[0]


def opened(browser, path, size, asked):
    tab = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: asked.append(message.text))
    tab.on("pageerror", lambda error: asked.append(str(error)))
    tab.goto(path.as_uri())
    return tab


@pytest.mark.parametrize("size", SIZES, ids=["projector", "phone"])
@pytest.mark.parametrize("name", ["full", "empty"])
def test_nothing_comes_from_outside_and_nothing_hangs_over(browser, request, name, size):
    path, asked = request.getfixturevalue(name), []
    tab = opened(browser, path, size, asked)
    for unfolded in (False, True):
        tab.evaluate("all => document.querySelectorAll('details').forEach(one => one.open = all)", unfolded)
        assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    pictures = tab.evaluate("[...document.images].map(one => [one.naturalWidth, one.alt.length])")
    assert all(width > 0 and letters > 10 for width, letters in pictures)
    assert bool(pictures) == (name == "full")
    tab.close()


def test_tables_have_heads_and_captions_and_boxes_that_keys_can_move(browser, full):
    tab = opened(browser, full, SIZES[1], [])
    heads = "[...document.querySelectorAll('th')].every(one => one.scope)"
    named = "[...document.querySelectorAll('table')].every(one => one.caption && one.closest('.scroll').tabIndex === 0)"
    assert tab.evaluate(heads)
    assert tab.evaluate(named)
    links = "[...document.querySelectorAll('a')].map(one => document.querySelector(one.hash) !== null)"
    assert set(tab.evaluate(links)) == {True}
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, full, scheme):
    """WCAG asks for a contrast of 4.5 in text of this size; badge and mark bring grounds of their own."""
    tab = opened(browser, full, SIZES[0], [])
    tab.emulate_media(color_scheme=scheme)
    poor = tab.evaluate(_CONTRAST)
    assert poor == []
    tab.close()


def test_printed_it_is_some_pages_without_a_bar_to_scroll(browser, full):
    tab = opened(browser, full, SIZES[0], [])
    tab.emulate_media(media="print")
    assert tab.evaluate(
        "[...document.querySelectorAll('.scroll')].every(o => getComputedStyle(o).overflowX !== 'auto')"
    )
    assert tab.pdf(format="A4")[:5] == b"%PDF-"
    tab.close()


# Every text with less contrast than 4.5 to the nearest ground behind it: [text, ratio].
_CONTRAST = """() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = numbers(colour).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor, parts = numbers(colour);
      if (parts.length < 4 || parts[3] > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const poor = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || node.closest('style')) continue;
    const pair = [light(getComputedStyle(node).color), light(ground(node))].sort((a, b) => b - a);
    const ratio = (pair[0] + .05) / (pair[1] + .05);
    if (ratio < 4.5) poor.push([text.slice(0, 40), ratio]);
  }
  return poor;
}"""
