"""With a real Ray of this machine: workers and drivers that are killed, and clusters that do not fit.

Starting Ray takes many seconds, so these tests are slow: `-m slow`. `.ci/run` runs those with a kill where
Ray is quickly installed.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill.common.errors import InputError
from prompter.cluster.config import EngineSettings
from prompter.cluster.opening import opened_pool
from prompter.cluster.pool import Pool
from prompter.cluster.start import _check_port, connected
from tests.prompter.exporting.exports import contents

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'topic-prompter[ray]'")
psutil = pytest.importorskip("psutil")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FLAGS = ["--rows", "600", "--batch_size", "8", "--shard_rows", "100", "--device", "cpu", "--dtype", "float32", "--balance"]
WORKERS = ["--engine", "ray", "--ray_workers", "2"]


def started(command: list[str], home: Path) -> subprocess.Popen:
    environment = os.environ | {"PROMPTER_CACHE": str(home / "cache"), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[3])}
    home.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "prompter", *command], env=environment, cwd=home, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finished(process: subprocess.Popen, status: int = 0) -> str:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == status, said
    return said


def export(run: Path, home: Path, *flags: str) -> list[str]:
    return ["export", str(run), "--to", str(home / "set"), *FLAGS, "--trust_teacher", *flags]


def when_under_way(process: subprocess.Popen, home: Path) -> list:
    """Wait for the first shard, and return the workers."""
    until = time.monotonic() + 500
    while not list((home / "set" / "data").glob("train-*.parquet")):
        assert process.poll() is None and time.monotonic() < until, process.communicate()[0]
        time.sleep(0.02)
    return [
        child for child in psutil.Process(process.pid).children(recursive=True) if "ray::Worker" in "".join(child.cmdline())
    ]


@pytest.fixture(scope="module")
def alone(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("alone")
    finished(started(export(run_folder, home), home))
    return contents(home / "set")


def test_a_killed_worker_costs_no_row(run_folder: Path, alone: dict[str, str], tmp_path: Path) -> None:
    process = started(export(run_folder, tmp_path, *WORKERS), tmp_path)
    workers = when_under_way(process, tmp_path)
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    said = finished(process)
    assert "A worker was lost" in said and "statistics" not in said and "dashboard" not in said
    assert contents(tmp_path / "set") == alone
    assert {file.name for file in tmp_path.iterdir()} == {"set", "cache"}  # nothing of Ray's


def test_a_killed_driver_goes_on(run_folder: Path, alone: dict[str, str], tmp_path: Path) -> None:
    process = started(export(run_folder, tmp_path, *WORKERS), tmp_path)
    workers = when_under_way(process, tmp_path)
    process.kill()
    process.wait()
    assert not (tmp_path / "set" / "recipe.yaml").exists()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive  # they end with it
    finished(started(export(run_folder, tmp_path, *WORKERS), tmp_path))
    assert contents(tmp_path / "set") == alone


def test_a_teacher_that_may_cost_money_is_asked_once_for_each_text(run_folder: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.txt"
    (tmp_path / "paid.py").write_text(
        "labels = ['good', 'bad']\n"
        "def classify(texts):\n"
        f"    open({str(asked)!r}, 'a').writelines(text + '\\n' for text in texts)\n"
        "    return [[0.9, 0.1] if sum(map(ord, text)) % 2 else [0.2, 0.8] for text in texts]\n"
    )
    flags = ["--teacher", "paid:classify", "--teacher_labels", "good,bad"]
    process = started(export(run_folder, tmp_path, *WORKERS, *flags), tmp_path)
    when_under_way(process, tmp_path)[1].send_signal(signal.SIGKILL)
    finished(process)
    lines = asked.read_text().splitlines()
    assert len(set(lines)) == len(lines) > 500


def test_labels_are_the_same(teacher_folder: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"w{i % 17 + 60} w{i % 5 + 90} {'good' if i % 3 else 'bad'} w{i % 90} ok" for i in range(300)))
    command = ["label", "--texts", str(texts), "--teacher", str(teacher_folder), "--batch_size", "8", "--device", "cpu"]
    finished(started([*command, "--to", "set"], tmp_path / "one"))
    finished(started([*command, "--to", "set", *WORKERS], tmp_path / "many"))
    assert contents(tmp_path / "one" / "set") == contents(tmp_path / "many" / "set")


def test_a_cluster_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=f"ray_address: no cluster of Ray answers at {address}"):
        with connected(EngineSettings(engine="ray", ray_address=address), 1):
            pass


class Counting:
    """Work that ends its process, or refuses."""

    def __init__(self, marks: str, refuse: str) -> None:
        if refuse:
            raise InputError(refuse)
        self.marks, self.facts, self.notes = Path(marks), {"one": 1}, ["loaded"]

    def double(self, number: int) -> int:
        if number == 7:  # the first worker that gets it ends
            mark = self.marks / "seven"
            if not mark.exists():
                mark.touch()
                os._exit(1)
        if number == 13:  # every worker that gets it ends
            os._exit(1)
        return 2 * number


def test_workers_that_are_lost_refuse_or_differ_and_odd_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # a Ray that is imported already writes a token there
    said: list[str] = []
    make = (__name__, "Counting")
    with opened_pool(EngineSettings(engine="ray", ray_workers=2), "cpu", make, (str(tmp_path), ""), said.append) as pool:
        assert pool.facts == {"one": 1} and said == ["loaded"]
        jobs = [pool.submit("double", number) for number in range(10)]
        assert [pool.wait(job) for job in jobs] == list(range(0, 20, 2))
        assert any("A worker was lost" in line for line in said)
        with pytest.raises(InputError, match="4 workers of Ray ended one after the other during one batch"):
            pool.wait(pool.submit("double", 13))
        rest = {"num_cpus": 0, "num_gpus": 0}
        with pytest.raises(InputError, match="base: /models/lm does not exist .on the machine"):
            Pool(ray, 1, rest, {}, (1, make, (str(tmp_path), "base: /models/lm does not exist")), said.append)
        with pytest.raises(InputError, match="has torch .*, but 0.1 runs here: install the same there"):
            Pool(ray, 1, rest, {"torch": "0.1"}, (1, make, (str(tmp_path), "")), said.append)
        with pytest.raises(InputError, match="lacks no-such-thing"):
            Pool(ray, 1, rest, {"no-such-thing": "1"}, (1, make, (str(tmp_path), "")), said.append)
        own, (node,) = ray.get_runtime_context().gcs_address, ray.nodes()
        _check_port(own)
        with pytest.raises(InputError, match=f"{own} is the cluster's own port, .* leave ray:// out"):
            _check_port(f"ray://{own}")
        other = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
        with pytest.raises(InputError, match=f"{other} is not a cluster's own port"):
            _check_port(other)
