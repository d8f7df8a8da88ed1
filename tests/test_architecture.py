"""The order of the modules: each imports only from those before it, so that data flows one way and a reader too."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import mespot_lib

PACKAGE = Path(mespot_lib.__file__).parent
ORDER = (
    "places",
    "interval",
    "archive",
    "manifest",
    "video_file",
    "datasets",
    "synthetic",
    "catalogue",
    "withheld",
    "statistics",
    "frames",
    "face",
    "tracking",
    "features",
    "stills",
    "spot",
    "profiles",
    "metrics",
    "curves",
    "contrast",
    "clips",
    "proposals",
    "anchors",
    "mistakes",
    "evaluation",
    "held_out",
    "train",
    "inception",
    "pyramid",
    "methods",
    "user_video",
    "strips",
    "claims",
    "runs",
    "cluster",
    "progress",
    "sweep",
    "viz",
    "respot",
    "explore",
    "explore_page",
    "ranks",
    "report",
    "comparison",
    "charts",
    "look",
    "page",
    "spot_page",
    "challenge",
    "submit",
    "leaderboard",
    "cli",
)
FILES = sorted(PACKAGE.rglob("*.py"))
# What not every command needs, or not every machine has, is imported where it is used.
LAZY = {
    *("av", "torch", "mediapipe", "skimage", "papermill", "openpyxl", "jsonschema", "ipywidgets"),
    *("transformers", "distributed", "dask", "dask_jobqueue", "dask_kubernetes", "rich"),
}


def noun(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Return the modules of the package that a file imports, anywhere in it, by their first part."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [node.module]
                if "." in node.module
                else [f"{node.module}.{alias.name}" for alias in node.names]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("mespot_lib.")}
    return found - {"__version__"}


def test_every_module_has_its_place():
    assert {noun(path) for path in FILES} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_upstream(path):
    own = noun(path)
    if own == "__init__":
        return
    later = [
        name
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name != own and ORDER.index(name) > ORDER.index(own)
    ]
    assert not later, f"{path.relative_to(PACKAGE)} imports from further down the pipeline: {later}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_where_they_are_used(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name.split(".")[0] for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module.split(".")[0] for node in top if isinstance(node, ast.ImportFrom) and node.module}
    learned = noun(path) == "train" or (noun(path) == "methods" and "train" in imported(tree))
    learned |= path.name == "tvl1.py"  # imported by `features.flow` when it is asked for
    learned |= path.name in ("inception.py", "pyramid.py")  # parts of learned methods
    assert not names & (LAZY - {"torch"} if learned else LAZY)


def test_methods_do_not_import_each_other():
    for path in (PACKAGE / "methods").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        siblings = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.ImportFrom) and (n.module or "").endswith("methods")
        ]
        assert path.name == "__init__.py" or not siblings


def test_no_module_is_left_out_of_the_type_check():
    checker = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert checker["files"] == ["mespot_lib"]
    assert checker["disallow_untyped_defs"] is True
    own = {name for one in checker["overrides"] for name in one["module"] if name.startswith("mespot_lib")}
    assert own == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_the_type_checker_is_not_to_say_has_a_reason(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        if "type: ignore" in line:
            assert re.search(r"# type: ignore\[[a-z-]+\]  # \w+", line), line
