"""Glossary and lesson plan: what they name exists, links lead somewhere, the plan fills its 90 minutes."""

import importlib
import itertools
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PAGES = ("GLOSSARY.md", "LESSON_PLAN.md", "SOLUTIONS.md")
GLOSSARY = (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8")
PLAN = (NOTEBOOKS / "LESSON_PLAN.md").read_text(encoding="utf-8")


def headings(text: str) -> list[str]:
    """Return the anchors of the headings of a page, as they are made where it is browsed."""
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found]


def found(name: str) -> bool:
    """Return whether a dotted name is one of the library: a module, or something in one."""
    module, _, last = name.rpartition(".")
    try:
        importlib.import_module(name)
        return True
    except ModuleNotFoundError:
        return hasattr(importlib.import_module(module), last)


def test_a_term_of_the_glossary_has_one_place_and_an_explanation():
    terms = GLOSSARY.split("\n### ")[1:]
    names = [term.partition("\n")[0] for term in terms]
    assert len(names) == len(set(names))
    for term in terms:
        explained = re.split(r"^## ", term.partition("\n")[2], flags=re.MULTILINE)[0].strip()
        assert 20 < len(explained) < 450, term
        assert "\n" not in explained, "one or two sentences"


@pytest.mark.parametrize("page", PAGES)
def test_names_of_the_library_exist(page):
    text = (NOTEBOOKS / page).read_text(encoding="utf-8")
    names = set(re.findall(r"`(mespot_lib(?:\.\w+)+)`", text))
    assert not [name for name in names if not found(name)]


@pytest.mark.parametrize("page", [*PAGES, *sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))])
def test_links_lead_somewhere(page):
    text = (NOTEBOOKS / page).read_text(encoding="utf-8")
    if page.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
    for link in links:
        file, _, anchor = link.partition("#")
        assert (NOTEBOOKS / file).is_file(), link
        if anchor:
            assert anchor in headings((NOTEBOOKS / file).read_text(encoding="utf-8")), link


def test_the_plan_fills_ninety_minutes_and_one_page():
    spans = [(int(a), int(b)) for a, b in re.findall(r"^\| (\d+) to (\d+) \|", PLAN, re.MULTILINE)]
    assert spans[0][0] == 0
    assert spans[-1][1] == 90
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert len(PLAN.split()) < 850


def test_sections_of_notebooks_that_the_plan_names_exist():
    for number, what in re.findall(r"\b(\d\d), sections? ([\d and to]+)", PLAN):
        (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
        text = path.read_text(encoding="utf-8")
        for section in re.findall(r"\d+", what):
            assert re.search(rf'"## {section} ', text), f"notebook {number} has no section {section}"
