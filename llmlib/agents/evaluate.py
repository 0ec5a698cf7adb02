"""How many tasks an agent solves: its last answer against the right one, letter by letter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from llmlib.agents.agent import Agent, Run
from llmlib.data.tool_calls import ToolTask

__all__ = ["TaskScores", "evaluate_tasks", "wilson_interval"]


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """What became of a set of tasks.

    Parameters
    ----------
    solved : list of bool
        Task by task: the answer is the right one.
    as_planned : list of bool
        The calls were exactly those that lead to the answer, in order.
    kinds : list of str
        Of the tasks.
    mistakes : list of str
        Question, right answer and what the agent did instead, for those that were not solved.
    """

    solved: list[bool]
    as_planned: list[bool]
    kinds: list[str]
    mistakes: list[str]

    @property
    def share(self) -> float:
        """Share of the tasks that were solved."""
        return sum(self.solved) / len(self.solved)

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """Kind -> how many were solved, and of how many."""
        found: dict[str, tuple[int, int]] = {}
        for kind, solved in zip(self.kinds, self.solved, strict=True):
            right, of = found.get(kind, (0, 0))
            found[kind] = (right + solved, of + 1)
        return found

    def lines(self) -> list[str]:
        """The numbers as text."""
        low, high = wilson_interval(sum(self.solved), len(self.solved))
        planned = sum(self.as_planned)
        table = [f"{kind:16} {right} of {of}" for kind, (right, of) in self.by_kind().items()]
        return [
            *table,
            f"{'solved':16} {sum(self.solved)} of {len(self.solved)} ({low:.0%} to {high:.0%})",
            f"{'as planned':16} {planned} of {len(self.as_planned)}",
            *(f"  {mistake}" for mistake in self.mistakes),
        ]


def evaluate_tasks(
    agent: Agent, tasks: Iterable[ToolTask], *, watch: Callable[[ToolTask, Run], Any] | None = None
) -> TaskScores:
    """Let an agent work on tasks.

    Parameters
    ----------
    agent : Agent
        With the tools that the tasks need, such as :func:`~llmlib.agents.island_tools`.
    tasks : iterable of ToolTask
        See :func:`llmlib.data.tool_tasks`.
    watch : callable, optional
        Called with each task and what the agent did.
    """
    solved, planned, kinds, mistakes = [], [], [], []
    for task in tasks:
        run = agent.run(task.question)
        right = run.answer == task.answer
        solved.append(right)
        calls = [(call.name, dict(call.arguments)) for call in run.calls]
        planned.append(calls == [(call.tool, call.arguments) for call in task.calls])
        kinds.append(task.kind)
        if not right:
            wrote = " / ".join(step.text for step in run.steps)
            mistakes.append(
                f"{task.question} -> {task.answer!r}, but: {wrote} {run.stopped}".rstrip()
            )
        if watch:
            watch(task, run)
    return TaskScores(solved=solved, as_planned=planned, kinds=kinds, mistakes=mistakes)


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Interval that holds the true share in 95 of 100 samples.

    Examples
    --------
    >>> low, high = wilson_interval(90, 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes of {trials} trials")
    share, square = successes / trials, z * z / trials
    middle = share + square / 2
    width = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return (middle - width) / (1 + square), (middle + width) / (1 + square)
