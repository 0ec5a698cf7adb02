"""``python -m llmlib.companion``: train a stage, measure it, let it write and reply."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from llmlib.companion.methods import METHODS
from llmlib.companion.recipe import read_recipe
from llmlib.companion.stage import folder_of, load
from llmlib.companion.train import train
from llmlib.companion.writing import continue_story
from llmlib.post_training import reply


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m llmlib.companion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("train", help="make a stage, or go on where it stopped")
    making.add_argument("recipe", help="a stage of the book, or a .toml file")
    making.add_argument("--folder", type=Path, help="for checkpoints and result (default: stage)")
    making.add_argument("--start", help="stage or folder to begin with (default: the recipe's)")
    making.add_argument("--until", type=int, help="step to stop at")
    making.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    making.add_argument("--engine", default="ddp", choices=("ddp", "fsdp"), help="under torchrun")
    making.add_argument("--threads", type=int, help="threads of the processor")
    making.add_argument("--workers", type=int, default=0, help="processes that make batches ahead")
    measuring = commands.add_parser("evaluate", help="measure a stage on held-out data")
    measuring.add_argument("stage", help="a stage of the book, or the folder of one")
    measuring.add_argument("--stories", type=int, default=500, help="for bits per character")
    measuring.add_argument("--samples", type=int, default=200, help="continuations of stories")
    measuring.add_argument("--conversations", type=int, default=200, help="of each kind")
    measuring.add_argument(
        "--against-training", action="store_true", help="look for copies in all stories trained on"
    )
    measuring.add_argument("--save", action="store_true", help="into the folder, with a card")
    writing = commands.add_parser("sample", help="let a stage write stories")
    writing.add_argument("stage")
    writing.add_argument("--prompt", default="")
    writing.add_argument("--count", type=int, default=3)
    writing.add_argument("--temperature", type=float, default=1.0)
    writing.add_argument("--seed", type=int, default=0)
    talking = commands.add_parser("chat", help="say something to a stage")
    talking.add_argument("stage")
    talking.add_argument("say", nargs="+", help="what the user says, a turn each")
    talking.add_argument("--system", default="", help="what the system says first")
    options = parser.parse_args(arguments)
    {"train": _train, "evaluate": _evaluate, "sample": _sample, "chat": _chat}[options.command](
        options
    )
    return 0


def _train(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = options.folder or Path(read_recipe(options.recipe).stage)
    trainer = train(
        options.recipe,
        folder,
        start=options.start,
        until=options.until,
        device=options.device,
        engine=options.engine,
        workers=options.workers,
        progress=True,
    )
    steps = read_recipe(options.recipe).training["steps"]
    print(f"step {trainer.step} of {steps}; everything is in {folder}")


def _evaluate(options: argparse.Namespace) -> None:
    folder = folder_of(options.stage)
    recipe = read_recipe(folder / "recipe.toml")
    method = METHODS[recipe.method]
    scores = method.evaluate(
        recipe,
        folder,
        stories=options.stories,
        samples=options.samples,
        against_training=options.against_training,
        conversations=options.conversations,
    )
    print("\n".join(scores.lines()))
    if options.save:
        (folder / "evaluation.json").write_text(
            json.dumps(asdict(scores), indent=1) + "\n", encoding="utf-8"
        )
        method.card(folder, recipe, method.load(folder)[0], scores)


def _chat(options: argparse.Namespace) -> None:
    model, tokenizer = load(options.stage)
    messages = [{"role": "system", "content": options.system}] if options.system else []
    for line in options.say:
        messages.append({"role": "user", "content": line})
        messages.append({"role": "assistant", "content": reply(model, tokenizer, messages)})
        print(f"> {line}\n{messages[-1]['content']}")


def _sample(options: argparse.Namespace) -> None:
    model, tokenizer = load(options.stage)
    generator = torch.Generator().manual_seed(options.seed)
    for _ in range(options.count):
        text = continue_story(
            model,
            tokenizer,
            options.prompt,
            temperature=options.temperature,
            generator=generator,
        )
        print(text.strip() + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
