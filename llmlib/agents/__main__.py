"""``python -m llmlib.agents evaluate FOLDER``: how many held-out tasks a model solves with tools.

``python -m llmlib.agents rag FOLDER``: how many held-out questions it answers from passages. The
folder is that of a stage of the companion, such as ``llmlib/companion/stages/sft``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from llmlib.agents.agent import Agent
from llmlib.agents.evaluate import evaluate_tasks
from llmlib.agents.evaluate_rag import evaluate_rag, rag_lines
from llmlib.agents.grounded import GroundedTurns
from llmlib.agents.local import LocalModel, calls_or_text
from llmlib.agents.toolbox import island_tools
from llmlib.data import make_island, tool_tasks
from llmlib.generation import TokenConstraint
from llmlib.interop import load_pretrained


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m llmlib.agents", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("evaluate", help="solve held-out tasks with real tools")
    measuring.add_argument("folder", type=Path, help="of a model that speaks in turns")
    measuring.add_argument("--tasks", type=int, default=100)
    measuring.add_argument("--seed", type=int, default=0, help="of the island and the tasks")
    measuring.add_argument("--split", default="test", choices=("train", "validation", "test"))
    measuring.add_argument(
        "--turns",
        default="grounded",
        choices=("free", "parses", "grounded"),
        help="what a turn is confined to: nothing, calls that parse, what was said",
    )
    measuring.add_argument("--save", type=Path, help="write the numbers to a file")
    answering = commands.add_parser("rag", help="answer held-out questions from passages")
    answering.add_argument("folder", type=Path, help="of a model that speaks in turns")
    answering.add_argument("--questions", type=int, default=200)
    answering.add_argument("--passages", type=int, nargs="+", default=[1, 2, 3], metavar="K")
    answering.add_argument("--save", type=Path, help="write the numbers to a file")
    options = parser.parse_args(arguments)
    model, tokenizer = load_pretrained(options.folder, dtype=torch.float32)
    if options.command == "rag":
        asked = {"questions": options.questions, "passages": options.passages}
        rows = dict(evaluate_rag(model, tokenizer, **asked))
        print("\n".join(rag_lines(rows)))
        numbers = {name: {m: list(v) for m, v in row.items()} for name, row in rows.items()}
        _save(numbers, options.save)
        return 0
    island = make_island(seed=options.seed, split=options.split)
    tools = island_tools(island, weaker_ok=True)
    constraint = None
    if options.turns == "parses":
        language = calls_or_text(tools)
        constraint = TokenConstraint.for_tokenizer(language, tokenizer, end="<|end|>")
    elif options.turns == "grounded":
        constraint = GroundedTurns(tools, tokenizer)
    agent = Agent(LocalModel(model, tokenizer, constraint=constraint), tools)
    tasks = tool_tasks(options.tasks, seed=options.seed, split=options.split, island=island)
    scores = evaluate_tasks(agent, tasks)
    print("\n".join(scores.lines()))
    numbers = {"solved": scores.share, "by_kind": scores.by_kind(), "tasks": options.tasks}
    _save(numbers, options.save)
    return 0


def _save(numbers: dict, path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
