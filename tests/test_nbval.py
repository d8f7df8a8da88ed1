"""What `make test` compares of a notebook is compared."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_changed_number_fails(tmp_path):
    """A checked cell of another number than the stored one fails, one of the same number does not."""
    notebook = json.loads((ROOT / "notebooks" / "00_start_here.ipynb").read_text(encoding="utf-8"))
    cells = []
    for count, stored in enumerate(("42", "43"), start=1):
        result = {"output_type": "execute_result", "execution_count": count, "metadata": {}}
        result["data"] = {"text/plain": [f"['cells counted:', {stored}]"]}
        cell = {"cell_type": "code", "execution_count": count, "metadata": {"tags": ["nbval-check-output"]}}
        cells.append(
            cell | {"source": ['["cells counted:", 41 + 1]'], "outputs": [result], "id": f"stored-{stored}"}
        )
    target = tmp_path / "numbers.ipynb"
    target.write_text(json.dumps(notebook | {"cells": cells}), encoding="utf-8")
    sanitize = ROOT / "tests" / "nbval_sanitize.cfg"
    options = f"-q -c {os.devnull} --nbval-lax --nbval-current-env -p no:cacheprovider --nbval-sanitize-with"
    command = [sys.executable, "-m", "pytest", *options.split(), sanitize, "--rootdir", tmp_path, target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
