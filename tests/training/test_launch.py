"""What a launcher owes: every result, every error, no process left."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import time

import pytest
import torch
import torch.distributed as dist

from llmlib.training import RankError, run_ranks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = set(multiprocessing.active_children())
    files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    yield
    assert set(multiprocessing.active_children()) == before
    if files:
        assert len(os.listdir("/proc/self/fd")) <= files
        own = str(os.getpid())
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                    state, parent = file.read().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
                continue
            assert (state, parent) != ("Z", own)


@pytest.fixture(scope="module", autouse=True)
def _imported():
    run_ranks(lambda rank, world_size: None, 1)


def test_results_come_in_the_order_of_ranks():
    def work(rank, world_size, text, factor):
        found = [torch.zeros(2) for _ in range(world_size)]
        dist.all_gather(found, torch.full((2,), rank * factor))
        return rank, text, torch.stack(found), torch.get_num_threads(), os.environ["WORLD_SIZE"]

    found = run_ranks(work, 3, "to all", 0.5)
    assert [rank for rank, *_ in found] == [0, 1, 2]
    for _, text, gathered, threads, world in found:
        assert (text, threads, world) == ("to all", 1, "3")
        assert gathered.tolist() == [[0, 0], [0.5, 0.5], [1, 1]]
    assert "WORLD_SIZE" not in os.environ


def test_large_results_do_not_block():
    found = run_ranks(lambda rank, world_size: torch.full((2_000_000,), rank), 2)
    assert [int(tensor.sum()) for tensor in found] == [0, 2_000_000]


class NeedsTwoError(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_an_error_of_a_rank_is_raised_here_with_its_traceback():
    def work(rank, world_size):
        if rank == 1:
            raise KeyError("lost key")
        dist.barrier()  # fails in turn

    with pytest.raises(KeyError, match="lost key") as caught:
        run_ranks(work, 3)
    assert "rank 1 of 3 raised" in str(caught.value.__cause__)
    assert 'raise KeyError("lost key")' in str(caught.value.__cause__)


def test_what_cannot_be_sent_is_told():
    def strange(rank, world_size):
        raise NeedsTwoError(1, 2)

    with pytest.raises(RankError, match=r"raised:\n(.*\n)+.*NeedsTwoError: 1 and 2"):
        run_ranks(strange, 1)
    with pytest.raises(Exception, match=r"(?i)pickle"):
        run_ranks(lambda rank, world_size: lambda: rank, 1)


@pytest.mark.parametrize("alone", [False, True])
def test_a_killed_rank_is_noticed_at_once(alone):
    def work(rank, world_size):
        if rank == 1:
            moment = time.monotonic()
            with open(path, "w", encoding="utf-8") as file:
                file.write(str(moment))
            os.kill(os.getpid(), signal.SIGKILL)
        if alone:
            time.sleep(60)  # does not look at the other
        dist.barrier()

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "moment")
        with pytest.raises(RankError, match=r"rank 1 of 2 was killed by SIGKILL"):
            run_ranks(work, 2)
        with open(path, encoding="utf-8") as file:
            assert time.monotonic() - float(file.read()) < 2


def test_a_killed_rank_is_named_even_where_another_complains_first():
    def work(rank, world_size):
        if rank == 0:
            raise ConnectionError("the other does not answer")
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RankError, match="rank 1 of 2 was killed"):
        run_ranks(work, 2)


def abort():
    faulthandler.disable()  # quietly
    os.abort()


def test_an_abort_may_be_the_consequence_of_an_error():
    def work(rank, world_size):
        if rank == 0:
            raise KeyError("the cause")
        time.sleep(0.05)
        abort()

    with pytest.raises(KeyError, match="the cause"):
        run_ranks(work, 2)
    with pytest.raises(RankError, match="killed by SIGABRT"):
        run_ranks(lambda rank, world_size: abort(), 1)


def test_an_exit_without_a_result_is_noticed():
    def work(rank, world_size):
        if rank == 0:
            os._exit(3)
        dist.barrier()

    with pytest.raises(RankError, match="rank 0 of 2 ended with exit code 3"):
        run_ranks(work, 2)


def test_ranks_that_wait_for_ever_are_stopped():
    def work(rank, world_size):
        if rank == 1:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)

    before = time.monotonic()
    with pytest.raises(TimeoutError, match="rank 1: does every rank"):
        run_ranks(work, 2, timeout=0.7)
    assert time.monotonic() - before < 5


def test_at_least_one_rank():
    with pytest.raises(ValueError, match="world_size=0"):
        run_ranks(print, 0)
