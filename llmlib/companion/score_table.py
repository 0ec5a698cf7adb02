"""One table of what the stages can do: it grows from chapter to chapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from llmlib.companion.stage import folder_of

__all__ = ["score_table"]

#: Heading -> row of :class:`~llmlib.companion.ChatScores`.
COLUMNS = {"asked for": "instructions", "sound": "sound stories", "answers": "answers"}


def score_table(stages: Sequence[str | Path]) -> list[str]:
    """What was measured of each stage, as lines of text.

    Of stories on demand: the share that has all that was *asked for*, and the share that is
    *sound*, without a contradiction. *Answers* to who, where and what; the mean of *all* kinds of
    request. Of a stage that was trained to write better stories: how often its story is *preferred*
    to that of the stage before, and its *KL* from it, in nats per story.

    Parameters
    ----------
    stages : sequence of str or Path
        Stages or folders with an ``evaluation.json``.

    Examples
    --------
    >>> print("\\n".join(score_table(["base", "sft"])))  # doctest: +ELLIPSIS
    stage        asked for   sound  answers     all  preferred      KL
    base                 -       -        -       -          -       -
    sft               ...
    """
    headings = (*COLUMNS, "all", "preferred", "KL")
    lines = ["stage      " + "".join(f"{heading:>{_width(heading)}}" for heading in headings)]
    for stage in stages:
        text = (folder_of(stage) / "evaluation.json").read_text(encoding="utf-8")
        row = _row(json.loads(text))
        cells = (f"{row.get(heading, '-'):>{_width(heading)}}" for heading in headings)
        lines.append(f"{Path(stage).name:11}" + "".join(cells))
    return lines


def _width(heading: str) -> int:
    return max(len(heading) + 2, 8)


def _row(scores: dict) -> dict[str, str]:
    right = scores.get("right", {})
    found = {heading: f"{right[row]:.1%}" for heading, row in COLUMNS.items() if row in right}
    if right:
        found["all"] = f"{sum(right.values()) / len(right):.1%}"
    if "preferred" in scores:
        found |= {"preferred": f"{scores['preferred']:.1%}", "KL": f"{scores['kl']:.0f}"}
    return found
