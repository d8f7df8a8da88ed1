"""Clusters: recipes rendered by dask's own packages and checked, a batch system's script executed, errors."""

import json
import shutil
import sys
from pathlib import Path

import dask_kubernetes
import pytest
import yaml
from jsonschema import Draft7Validator
from toy import toy_manifest
from typer.testing import CliRunner

from mespot_lib import cluster, runs
from mespot_lib.cli import app
from mespot_lib.cluster import ClusterError
from mespot_lib.sweep import Job, sweep


def mespot(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_the_script_of_a_batch_system_asks_for_what_was_given(monkeypatch, tmp_path):
    monkeypatch.setenv("MESPOT_CASME2", "/licensed/cas me2")
    monkeypatch.setenv("MESPOT_REPORTS", str(tmp_path))
    given = ["-o", "queue=short", "-o", "account=faces", "-o", "walltime=04:00:00", "--memory", "6 GB"]
    result = mespot("cluster", "slurm", "--workers", "12", *given)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("#!/")
    assert {
        "#SBATCH -p short",
        "#SBATCH -A faces",
        "#SBATCH -t 04:00:00",
        "#SBATCH --cpus-per-task=1",
    } <= set(lines)
    assert "#SBATCH --mem=6G" in lines
    assert "export OMP_NUM_THREADS=1" in lines
    assert "export MESPOT_CASME2='/licensed/cas me2'" in lines
    assert f"export MESPOT_REPORTS={tmp_path}" in lines
    (start,) = [line for line in lines if line.startswith(sys.executable)]
    assert "--nthreads 1" in start
    assert "tcp://" in start
    # what is rendered here is what a sweep submits, once the options stand where dask looks for them
    kept = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines[lines.index("# jobqueue:") :]))
    assert kept == {
        "jobqueue": {
            "slurm": {"memory": "6 GB", "queue": "short", "account": "faces", "walltime": "04:00:00"}
        }
    }
    assert any("mespot sweep --scheduler slurm --workers 12" in line for line in lines)


@pytest.mark.filterwarnings("ignore:OAR Job memory")  # what dask-jobqueue leaves to the user's configuration
@pytest.mark.parametrize("system", cluster.BATCH_SYSTEMS)
def test_every_batch_system_has_a_script(system):
    size = {"disk": "1 GB"} if system == "htcondor" else {}
    text = cluster.batch_recipe(system, 2, size)
    assert "--nthreads 1" in text
    assert "OMP_NUM_THREADS" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["slurm", "-o", "nonsense=1"], "dask-jobqueue refuses: Got unexpected keyword argument 'nonsense'"),
        (["slurm", "-o", "queue"], "-o must be name=value"),
        (["kubernetes"], "kubernetes needs --image"),
        (["grid"], "unknown kind of cluster 'grid'; known: hosts, kubernetes, slurm"),
    ],
)
def test_what_cannot_be_rendered_is_said(arguments, message):
    result = mespot("cluster", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("claim", ["", "faces"])
def test_the_kubernetes_file_is_what_the_operator_takes(claim):
    given = [
        "--image",
        "registry.example/mespot:0.1",
        "--workers",
        "16",
        *(["--claim", claim] if claim else []),
    ]
    result = mespot("cluster", "kubernetes", *given, "--memory", "6Gi")
    spec = yaml.safe_load(result.stdout)
    (definition,) = Path(dask_kubernetes.__file__).parent.rglob("crds/daskcluster.yaml")
    schema = yaml.safe_load(definition.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert list(Draft7Validator(schema).iter_errors(spec)) == []
    assert spec["spec"]["worker"]["replicas"] == 16
    for part in ("worker", "scheduler"):
        pod = spec["spec"][part]["spec"]
        (container,) = pod["containers"]
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        assert variables["OMP_NUM_THREADS"] == "1"
        assert container["resources"]["limits"] == {"memory": "6Gi"}
        assert ("volumes" in pod) == bool(claim)
        assert variables.get("MESPOT_REPORTS") == ("/shared/reports" if claim else None)
    words = spec["spec"]["worker"]["spec"]["containers"][0]["args"]
    assert words[words.index("--nthreads") + 1] == "1"


def test_hosts_get_a_command_each():
    result = mespot("cluster", "hosts", "--address", "tcp://10.0.0.7:9000", "--host", "a", "--host", "me@b")
    assert result.stdout.splitlines() == [
        "dask scheduler --port 9000 --no-dashboard    # on the host of tcp://10.0.0.7:9000",
        "ssh a 'dask worker tcp://10.0.0.7:9000 --nworkers 1 --nthreads 1'",
        "ssh me@b 'dask worker tcp://10.0.0.7:9000 --nworkers 1 --nthreads 1'",
        "# then, here:",
        "mespot sweep --scheduler tcp://10.0.0.7:9000",
    ]


def test_workers_started_as_batch_jobs_do_the_runs(tiny, reports, monkeypatch):
    """The whole way of a batch system, but for the queue: dask-jobqueue executes the job scripts on this machine."""
    import dask_jobqueue.local

    monkeypatch.setitem(cluster.BATCH_SYSTEMS, "slurm", "Here")
    monkeypatch.setattr(dask_jobqueue, "Here", dask_jobqueue.local.LocalCluster, raising=False)
    script = cluster._batch_cluster(dask_jobqueue.local.LocalCluster, {}).job_script()
    # this stand-in for a queue executes a script's words as one command; what is exported there is exported here
    exported = dict(
        line.removeprefix("export ").split("=", 1) for line in script.splitlines() if "export" in line
    )
    assert exported["MESPOT_REPORTS"] == str(reports)
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    real = cluster._batch_cluster
    monkeypatch.setattr(
        cluster, "_batch_cluster", lambda kind, options: real(kind, {"job_script_prologue": [], **options})
    )
    job = Job(tiny(), toy_manifest().digest())
    summary = sweep([job], scheduler="slurm", workers=1, progress=False)
    assert str(summary) == "1 runs done, 0 skipped, 0 failed"
    assert len(runs.read_results()) == 1


def test_workers_with_several_threads_are_refused(tmp_path):
    from distributed import LocalCluster

    options = {
        "n_workers": 1,
        "threads_per_worker": 2,
        "processes": False,
        "dashboard_address": "127.0.0.1:0",
    }
    with (
        LocalCluster(**options, host="127.0.0.1", protocol="tcp") as broad,
        pytest.raises(ClusterError, match=r"have several threads.*--nthreads 1"),
        cluster.connect(broad.scheduler_address),
    ):
        pass


def test_a_scheduler_file_is_an_address_too(tmp_path):
    from distributed import LocalCluster

    options = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "processes": False,
        "dashboard_address": "127.0.0.1:0",
    }
    with LocalCluster(**options, host="127.0.0.1", protocol="tcp") as there:
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps({"address": there.scheduler_address}))
        with cluster.connect(str(file)) as client:
            assert client.submit(len, "abc").result() == 3
        with cluster.connect(str(file)) as client:  # the cluster was left as it was
            assert client.submit(len, "ab").result() == 2


def test_this_machine_holds_at_least_one_run(monkeypatch):
    assert cluster.usable_workers() >= 1
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 2**20)
    assert cluster.usable_workers() == 1


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(ClusterError, match=r"dask-jobqueue is not installed.*mespot\[cluster\]"):
        cluster.batch_cluster("slurm")
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", None)
    with pytest.raises(ClusterError, match=r"dask-kubernetes is not installed.*mespot\[cluster\]"):
        cluster.kubernetes_spec("image", 1)


def test_dask_has_the_commands_of_the_recipes():
    assert shutil.which("dask", path=Path(sys.executable).parent)
