"""The states of the random generators, kept with a run.

A run that resumes draws the random numbers that it would have drawn. On several ranks each has its
own; ``random.cpu`` is that of rank 0, ``random.cpu.1`` that of rank 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llmlib.training.parallel import OneProcess

__all__ = ["random_states", "set_random_states"]


def random_states(parallel: OneProcess, device: torch.device) -> dict[str, Tensor]:
    """States of the generators of all ranks, by name.

    >>> list(random_states(OneProcess(), torch.device("cpu")))
    ['random.cpu']
    """
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return {
        _name(kind, rank): state
        for kind, mine in own.items()
        for rank, state in enumerate(parallel.of_each_rank(mine))
    }


def set_random_states(
    states: dict[str, Tensor], parallel: OneProcess, device: torch.device
) -> None:
    """Give this rank its states back; a rank that the saved run had not gets new ones.

    >>> states = random_states(OneProcess(), torch.device("cpu"))
    >>> first = torch.rand(3)
    >>> set_random_states(states, OneProcess(), torch.device("cpu"))
    >>> torch.equal(torch.rand(3), first)
    True
    """
    own = _name("cpu", parallel.rank)
    torch.set_rng_state(states.get(own, states["random.cpu"]))
    if own not in states:
        torch.manual_seed(int(torch.randint(2**62, ())) + parallel.rank)
    own = _name("cuda", parallel.rank)
    if device.type == "cuda" and own in states:
        torch.cuda.set_rng_state(states[own], device)


def _name(kind: str, rank: int) -> str:
    return f"random.{kind}.{rank}" if rank else f"random.{kind}"
