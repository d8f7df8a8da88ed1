"""Windows and macOS: what they refuse is found in the sources, and processes start there as they do here.

Both start processes by "spawn": the child begins as a new Python that imports what it is to call. Windows decodes text
by the user's locale, ends lines with two characters, replaces no file by renaming, and has no POSIX calls; both take
two file names for one that differ in case alone.
"""

import ast
import json
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import nbformat
import pytest
from nbclient import NotebookClient

from mespot_lib.synthetic.config import LAYOUTS
from mespot_lib.synthetic.layouts.faults import write_blank_tree

ROOT = Path(__file__).resolve().parents[1]

POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_CALLS = {
    "os": {
        *(
            "chown",
            "fork",
            "forkpty",
            "getegid",
            "geteuid",
            "getgid",
            "getloadavg",
            "getuid",
            "killpg",
            "mkfifo",
        ),
        *(
            "nice",
            "sched_getaffinity",
            "sched_setaffinity",
            "setsid",
            "statvfs",
            "symlink",
            "sysconf",
            "uname",
        ),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGUSR1"),
        *("SIGUSR2", "alarm", "pause", "pthread_kill", "setitimer"),
    },
}
ROOTS_OF_POSIX = re.compile(r"/(tmp|var|home|usr|etc|dev|proc|opt|mnt)(/|$)")
REFUSED_BY_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{name}{number}" for name in ("com", "lpt") for number in range(1, 10)
}

Rule = Callable[[ast.AST], Iterator[ast.AST]]


# ---------------------------------------------------------------------------------------------------------------------
# What the rules ask of a syntax tree


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def name_of(function: ast.expr) -> str:
    """The last part of a dotted name: `replace` of `os.replace`."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def constant(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def parents(node: ast.AST) -> Iterator[ast.AST]:
    while (node := getattr(node, "parent", None)) is not None:
        yield node


def parsed(source: str) -> ast.Module:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    return tree


def asks_for_the_system(node: ast.AST) -> bool:
    return re.search(r"sys\.platform|os\.name|hasattr\((os|signal),", ast.unparse(node)) is not None


def guarded(node: ast.AST) -> bool:
    """Whether it is reached only where it exists: under `if sys.platform`, after one that returns, or in a `try`."""
    for parent in parents(node):
        if isinstance(parent, ast.If | ast.IfExp) and asks_for_the_system(parent.test):
            return True
        if isinstance(parent, ast.Try) and any(
            handler.type and re.search("ImportError|AttributeError|OSError", ast.unparse(handler.type))
            for handler in parent.handlers
        ):
            return True
        if isinstance(parent, ast.FunctionDef):
            return any(
                isinstance(step, ast.If)
                and asks_for_the_system(step.test)
                and isinstance(step.body[-1], ast.Return | ast.Raise)
                for step in parent.body
                if step.lineno < node.lineno
            )
    return False


def is_prose(node: ast.AST) -> bool:
    return isinstance(node.parent, ast.Expr)


def text_of(node: ast.expr) -> str:
    """A string; an f-string with an x for each of its values."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join("x" if isinstance(part, ast.FormattedValue) else str(constant(part)) for part in parts)


# ---------------------------------------------------------------------------------------------------------------------
# The rules


def modules_of_posix(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {node.module}
        else:
            continue
        if names & POSIX_MODULES and not guarded(node):
            yield node


def calls_of_posix(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found = node.module in POSIX_CALLS and POSIX_CALLS[node.module] & {one.name for one in node.names}
        elif isinstance(node, ast.Attribute):
            found = node.attr in POSIX_CALLS.get(getattr(node.value, "id", ""), ())
        else:
            continue
        if found and not guarded(node):
            yield node
    yield from (call for call in calls(tree) if name_of(call.func) == "symlink_to" and not guarded(call))


def processes_not_spawned(tree):
    """Pools and processes of the default way of starting, which is another one on every system; forked ones."""
    for call in calls(tree):
        name, first = name_of(call.func), constant(call.args[0]) if call.args else None
        of_the_module = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in {
            *("multiprocessing", "mp", "torch.multiprocessing"),
        }
        if (
            (name in {"get_context", "set_start_method"} and first != "spawn")
            or (name in {"Pool", "Process", "Manager"} and of_the_module)
            or (name == "ProcessPoolExecutor" and keyword(call, "mp_context") is None)
        ):
            yield call


def work_that_cannot_be_sent(tree):
    """Lambdas and functions of functions given to processes: a new Python cannot import them."""
    local = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any(isinstance(up, ast.FunctionDef) for up in parents(node))
    }
    for call in calls(tree):
        if name_of(call.func) == "Process":
            work = keyword(call, "target")
        elif (
            name_of(call.func) in {"submit", "apply_async", "starmap", "imap", "imap_unordered"} and call.args
        ):
            work = call.args[0]
        else:
            continue
        if isinstance(work, ast.Lambda) or getattr(work, "id", "") in local:
            yield call


def shells(tree):
    for call in calls(tree):
        if constant(keyword(call, "shell")) is True or ast.unparse(call.func) in {"os.system", "os.popen"}:
            yield call


def folders_of_one_system(tree):
    for node in ast.walk(tree):
        text = constant(node) if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and ROOTS_OF_POSIX.match(text) and not (is_prose(node) or guarded(node)):
            yield node


def joined_by_hand(tree):
    """Paths made or taken apart as text: `str(path) + "/"`, `str(path).split("/")`, a relative path in a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            ends = (str(constant(node.left))[-1:], str(constant(node.right))[:1])
            if "/" in ends and re.search(r"str\(|fspath\(|getcwd\(|\.name\b|\.parent\b", ast.unparse(node)):
                yield node
    for call in calls(tree):
        name, owner, within = name_of(call.func), getattr(call.func, "value", None), call.parent
        taken_apart = (
            name in {"split", "rsplit", "partition", "rpartition"}
            and name_of(getattr(owner, "func", owner)) in {"str", "fspath"}
            and [constant(one) for one in call.args[:1]] == ["/"]
        )
        made_text = (
            name == "relative_to"
            and (isinstance(within, ast.FormattedValue) or name_of(getattr(within, "func", within)) == "str")
            and not is_printed(call)
        )
        if taken_apart or made_text:
            yield call


def is_printed(node: ast.AST) -> bool:
    return any(isinstance(up, ast.Call) and name_of(up.func) == "print" for up in parents(node))


def renamed_over(tree):
    """`rename` of a path, which Windows refuses where the target exists; pandas' takes keywords or a mapping."""
    for call in calls(tree):
        of_a_path = len(call.args) in (1, 2) and not call.keywords and not isinstance(call.args[0], ast.Dict)
        if name_of(call.func) in {"rename", "renames"} and of_a_path:
            yield call


def mode_of(call: ast.Call) -> str:
    """The mode of `open(path, mode)`, `path.open(mode)` and their like; "b" for what opens no file of text."""
    name = name_of(call.func)
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if re.search(r"\b(av|Image|Picture|zipfile|archive|webbrowser|tarfile)$", owner) or (owner, name) == (
        "os",
        "open",
    ):
        return "b"
    place = 0 if name == "NamedTemporaryFile" or (name == "open" and owner not in {"", "io"}) else 1
    given = keyword(call, "mode") or (call.args[place] if len(call.args) > place else None)
    standard = "w+b" if name == "NamedTemporaryFile" else "r"
    return standard if given is None else str(constant(given))


def opens_text(call: ast.Call) -> bool:
    return name_of(call.func) in {"open", "fdopen", "NamedTemporaryFile"} and "b" not in mode_of(call)


def text_without_encoding(tree):
    for call in calls(tree):
        name = name_of(call.func)
        if (opens_text(call) or name in {"read_text", "write_text"}) and keyword(call, "encoding") is None:
            yield call


def lines_that_differ(tree):
    """CSV files whose lines end as the system likes, so that digests and quoted line ends differ."""
    of_csv = any(isinstance(node, ast.Import) and node.names[0].name == "csv" for node in ast.walk(tree))
    for call in calls(tree):
        name = name_of(call.func)
        opened = name == "open" and of_csv and opens_text(call)
        written = name == "write_text" and "csv" in ast.unparse(call).lower()
        asked = "lineterminator" if name == "to_csv" else "newline" if opened or written else None
        if asked and keyword(call, asked) is None:
            yield call


def names_windows_refuses(tree):
    """Characters in the last part of `folder / name`, and times with colons."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            name = node.right
            is_text = isinstance(constant(name), str) or isinstance(name, ast.JoinedStr)
            timed = any(name_of(call.func) == "isoformat" for call in calls(name))
            if is_text and (timed or REFUSED_BY_WINDOWS.search(text_of(name))):
                yield node
    for call in calls(tree):
        if name_of(call.func) == "strftime" and any(":" in str(constant(one)) for one in call.args):
            yield call


def files_opened_twice(tree):
    """A temporary file with a name is locked on Windows until it is closed, and closing deletes it."""
    for call in calls(tree):
        kept = constant(keyword(call, "delete")) is False or keyword(call, "delete_on_close") is not None
        if name_of(call.func) == "NamedTemporaryFile" and not kept:
            yield call


# Each rule with a line that it must find and one that it must leave alone.
RULES: dict[Rule, tuple[list[str], list[str]]] = {
    modules_of_posix: (
        ["import fcntl", "from resource import getrusage", "try:\n    import pwd\nexcept ValueError:\n    pass"],
        ["try:\n    import resource\nexcept ImportError:\n    resource = None", "import os"],
    ),
    calls_of_posix: (
        [
            "os.fork()",
            "os.kill(1, signal.SIGKILL)",
            "from signal import SIGALRM",
            "len(os.sched_getaffinity(0))",
            "os.symlink(a, b)",
            "here.symlink_to(there)",
            "if os.getuid() == 0: pass",
        ],
        [
            "signal.signal(signal.SIGTERM, stop)",
            "if hasattr(os, 'sched_getaffinity'):\n    os.sched_getaffinity(0)",
            "def f():\n    if sys.platform == 'win32':\n        return\n    os.geteuid()",
        ],
    ),
    processes_not_spawned: (
        [
            "get_context('fork').Process(target=f)",
            "multiprocessing.set_start_method('forkserver')",
            "multiprocessing.Pool(2)",
            "ProcessPoolExecutor(2)",
            "get_context()",
        ],
        ["ProcessPoolExecutor(2, mp_context=get_context('spawn'))", "get_context('spawn').Pool(2)"],
    ),
    work_that_cannot_be_sent: (
        ["pool.submit(lambda: 1)", "def f():\n    def g(): pass\n    Process(target=g)"],
        ["def g(): pass\ndef f():\n    pool.submit(g)"],
    ),
    shells: (["run('ls', shell=True)", "os.system('ls')"], ["run(['ls'])"]),
    folders_of_one_system: (["Path('/tmp/x')", "x = '/dev/null'"], ["'''/tmp is prose'''", "x = '/data'"]),
    joined_by_hand: (
        [
            "str(folder) + '/' + name",
            "str(path).split('/')",
            "f'{path.relative_to(root)}'",
            "str(path.relative_to(root))",
        ],
        ["uid.split('/')", "path.relative_to(root).as_posix()", "f'{dataset}/{uid}'"],
    ),
    renamed_over: (
        ["os.rename(a, b)", "partial.rename(target)"],
        ["os.replace(a, b)", "table.rename(columns={'a': 'b'})", "table.rename({'a': 'b'})"],
    ),
    text_without_encoding: (
        [
            "open(path)",
            "path.open('w')",
            "path.read_text()",
            "path.write_text(text)",
            "os.fdopen(number, 'w')",
            "NamedTemporaryFile(mode='w')",
        ],
        ["open(path, 'rb')", "path.open('wb')", "open(path, 'w', encoding='utf-8')", "av.open(path)"],
    ),
    lines_that_differ: (
        [
            "import csv\nwith open(path, 'w', encoding='utf-8') as file: csv.writer(file)",
            "table.to_csv(path)",
            "path.write_text(csv_text(rows), encoding='utf-8')",
        ],
        ["table.to_csv(path, lineterminator='\\n')", "import csv\nopen(path, newline='')"],
    ),
    names_windows_refuses: (
        ["folder / 'a:b.csv'", "folder / f'{name}?.png'", "now.strftime('%H:%M')", "folder / f'{t.isoformat()}'"],
        ["folder / f'{name}.csv'", "now.strftime('%H%M')"],
    ),
    files_opened_twice: (["NamedTemporaryFile(suffix='.mp4')"], ["NamedTemporaryFile(delete=False)"]),
}  # fmt: skip

# Where a rule is broken on purpose, and why it does no harm.
ALLOWED = {
    # How much memory a call takes is asked for in a forked process; there is no benchmark of memory on Windows.
    (modules_of_posix, "tools/benchmarks/measure.py"),
    (calls_of_posix, "tools/benchmarks/measure.py"),
    (processes_not_spawned, "tools/benchmarks/measure.py"),
    # The target is a name that no file has.
    (renamed_over, "mespot_lib/synthetic/layouts/faults.py"),
    # What is printed for the reader alone.
    (joined_by_hand, "tools/bench.py"),
}


def code_of(notebook: Path) -> str:
    """The code cells of a notebook as one module; what only IPython reads becomes a call of a shell or a comment."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^(\s*)!.*$", r"\1os.system('')", re.sub(r"^\s*%.*$", "#", code, flags=re.M), flags=re.M)


def sources() -> dict[str, ast.Module]:
    scripts = [path for folder in ("mespot_lib", "tools") for path in (ROOT / folder).rglob("*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in scripts}
    texts |= {path: code_of(path) for path in (ROOT / "notebooks").glob("*.ipynb")}
    return {path.relative_to(ROOT).as_posix(): parsed(text) for path, text in sorted(texts.items())}


@pytest.fixture(scope="module")
def trees():
    return sources()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_source_assumes_one_system(rule, trees):
    found = {
        f"{name}:{node.lineno}: {ast.unparse(node)[:100]}"
        for name, tree in trees.items()
        for node in rule(tree)
        if (rule, name) not in ALLOWED
    }
    assert not found


def test_every_exception_is_needed(trees):
    assert not {(rule.__name__, name) for rule, name in ALLOWED if not any(rule(trees[name]))}


PLANTED = [(rule, text) for rule, (wrong, _) in RULES.items() for text in wrong]
HARMLESS = [(rule, text) for rule, (_, right) in RULES.items() for text in right]


@pytest.mark.parametrize(("rule", "source"), PLANTED, ids=lambda part: getattr(part, "__name__", None))
def test_what_is_planted_is_found(rule, source):
    assert any(rule(parsed(source)))


@pytest.mark.parametrize(("rule", "source"), HARMLESS, ids=lambda part: getattr(part, "__name__", None))
def test_what_is_harmless_is_left_alone(rule, source):
    assert not any(rule(parsed(source)))


# ---------------------------------------------------------------------------------------------------------------------
# Names of files


def refused(names: list[str]) -> list[str]:
    """Relative paths with `/` that Windows refuses, or that it and macOS take for one."""
    parts = {name: PurePosixPath(name).parts for name in names}
    wrong = [
        name
        for name in names
        if any(
            REFUSED_BY_WINDOWS.search(part) or part.split(".")[0].lower() in DEVICES for part in parts[name]
        )
    ]
    folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    alike = Counter(name.casefold() for name in {*names, *folders})
    return wrong + [name for name in names if alike[name.casefold()] > 1]


def test_names_that_clash_or_are_refused_are_found():
    assert refused(["a.py", "b/a.py", "b/c.py"]) == []
    assert refused(["a:b", "c/aux.py", "d.", "e/f g.txt"]) == ["a:b", "c/aux.py", "d."]
    assert refused(["Read.me", "read.me"]) == ["Read.me", "read.me"]


def test_every_system_can_hold_the_repository():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8")
    if listed.returncode:
        pytest.skip("not a checkout of git")
    names = listed.stdout.rstrip("\0").split("\0")
    assert not refused(names)
    assert max(map(len, names)) < 120  # Windows allows 260 for the whole path


def test_every_system_can_hold_the_drawn_data(tmp_path):
    for layout in LAYOUTS:
        root = write_blank_tree(layout, tmp_path / layout, subjects=1, videos=1, frames=45)
        assert not refused([path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()])


# ---------------------------------------------------------------------------------------------------------------------
# Processes

# In a folder whose name is long and foreign: drawing by two processes, and a worker of a sweep.
DRAW = """
import multiprocessing
from dataclasses import replace
from pathlib import Path

from mespot_lib.synthetic.config import SyntheticConfig
from mespot_lib.synthetic.write import draw_dataset


def draw(folder):
    multiprocessing.set_start_method("spawn", force=True)
    config = replace(SyntheticConfig.casme2_smoke(), name="synthetic_tiny", subjects=1, videos_per_subject=2,
                     seconds_per_video=4.0, fps=15.0, width=64, height=64, pixels_per_u=0.15, fewest_me_per_subject=1,
                     fewest_mae_per_subject=1)
    return draw_dataset(config, Path(folder) / "data", workers=2, progress=False)
"""
MEASURE = """
from mespot_lib import cluster, sweep
from mespot_lib.datasets import read_dataset

manifest = read_dataset("casme2", draw({folder!r}))
video = manifest.video(manifest.uids[0])
with cluster.connect(workers=1) as client:
    client.submit(sweep._measure, "flow_peaks", "quick", video, manifest.root).result()
print("measured", video.length)
"""
CONNECT = """
from mespot_lib import cluster

root = draw({folder!r})
with cluster.connect(workers=1) as client:
    print("found", client.submit(root.is_dir).result(), client.submit(cluster.usable_workers).result() >= 1)
"""


@pytest.fixture
def far_folder(tmp_path, monkeypatch):
    folder = tmp_path / "Größe mit Leerzeichen – 表情" / "a folder of a long name" / ("long " * 12).strip()
    folder.mkdir(parents=True)
    monkeypatch.setenv("MESPOT_CACHE", str(folder / "cache"))
    return folder


def test_a_guarded_script_starts_processes(far_folder):
    script = far_folder / "script.py"
    body = textwrap.indent(MEASURE.format(folder=str(far_folder)), "    ")
    script.write_text(f'{DRAW}\nif __name__ == "__main__":\n{body}', encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=far_folder, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout.strip()) == (0, "measured 60"), done.stderr
    assert [
        path for path in (far_folder / "cache").rglob("*") if path.is_file()
    ]  # what the worker has measured


def test_a_notebook_starts_processes(far_folder):
    """Its code is in no file that a new process could import, and nothing guards it."""
    cells = [nbformat.v4.new_code_cell(text) for text in (DRAW, CONNECT.format(folder=str(far_folder)))]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": str(far_folder)}}
    ).execute()
    assert any("found True True" in output.get("text", "") for output in notebook.cells[-1].outputs)
