"""What a process and its children cost, and the environment they run in."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tools.kernels import OFFLINE, CostMeter, environment

WORK = "sum(i * i for i in range(6_000_000))"


@pytest.fixture
def python():
    """A Python that runs one line at a time and answers each with a line."""
    loop = "import sys\nfor line in sys.stdin:\n    exec(line)\n    print('done', flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def run(line):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    run.pid = process.pid
    yield run
    process.stdin.close()
    process.wait(timeout=10)
    process.stdout.close()


def test_work_counts_as_cpu_time_and_sleep_does_not(python):
    python(WORK)  # before the start: not counted
    meter = CostMeter(python.pid).start()
    python("import time; time.sleep(0.5)")
    asleep = meter.stop()
    assert asleep.wall_s >= 0.5
    assert asleep.cpu_s < 0.2
    meter = CostMeter(python.pid).start()
    python(WORK)
    assert meter.stop().cpu_s > 0.1


def test_work_of_children_counts_after_they_ended(python):
    meter = CostMeter(python.pid).start()
    python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{WORK}'])")
    assert meter.stop().cpu_s > 0.1


def test_a_peak_is_seen_after_the_memory_is_given_back(python):
    meter = CostMeter(python.pid).start()
    python("x = bytearray(200_000_000); del x")
    assert 200 < meter.stop().peak_mb < 400


def test_memory_of_children_counts(python):
    code = "import time; x = b'1' * 200_000_000; time.sleep(1)"
    meter = CostMeter(python.pid, interval=0.05).start()
    python(f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {code!r}])")
    assert meter.stop().peak_mb > 200


@pytest.mark.parametrize(("idle", "waited"), [(0.0, 0.5), (100.0, 0.0)])
def test_waiting_for_a_busy_machine_is_told_from_doing_nothing(python, monkeypatch, idle, waited):
    """Half a second without computing: all processors were busy, or at least one was free."""
    moments = iter([0.0, idle])
    monkeypatch.setattr(
        "tools.kernels.psutil.cpu_times", lambda: SimpleNamespace(idle=next(moments))
    )
    meter = CostMeter(python.pid).start()
    python("import time; time.sleep(0.5)")
    cost = meter.stop()
    assert cost.waited_s == pytest.approx(waited and cost.wall_s - cost.cpu_s, abs=0.02)
    assert cost.own_s == pytest.approx(cost.cpu_s if waited else cost.wall_s, abs=0.02)


def test_environment_keeps_what_was_there_and_comes_first():
    made = environment({"PYTHONPATH": "mine", "HOME": "h", "OMP_NUM_THREADS": "8"})
    assert made["PYTHONPATH"].split(os.pathsep) == [str(OFFLINE), "mine"]
    assert made["HOME"] == "h"
    assert made["OMP_NUM_THREADS"] == "1"
    assert environment(made)["PYTHONPATH"] == made["PYTHONPATH"], "not added twice"
    assert "PYTHONHASHSEED" not in made
