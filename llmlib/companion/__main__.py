"""``python -m llmlib.companion``: train a stage, measure it, let it write."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from llmlib.companion.card import write_card
from llmlib.companion.evaluate import evaluate_stories
from llmlib.companion.recipe import read_recipe
from llmlib.companion.stage import folder_of, load
from llmlib.companion.train import continue_story, stories_of_training, train


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m llmlib.companion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("train", help="make a stage, or go on where it stopped")
    making.add_argument("recipe", help="a stage of the book, or a .toml file")
    making.add_argument("--folder", type=Path, help="for checkpoints and result (default: stage)")
    making.add_argument("--until", type=int, help="step to stop at")
    making.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    making.add_argument("--engine", default="ddp", choices=("ddp", "fsdp"), help="under torchrun")
    making.add_argument("--threads", type=int, help="threads of the processor")
    measuring = commands.add_parser("evaluate", help="measure a stage on held-out stories")
    measuring.add_argument("stage", help="a stage of the book, or the folder of one")
    measuring.add_argument("--stories", type=int, default=500)
    measuring.add_argument("--samples", type=int, default=200)
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
    options = parser.parse_args(arguments)
    {"train": _train, "evaluate": _evaluate, "sample": _sample}[options.command](options)
    return 0


def _train(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = options.folder or Path(read_recipe(options.recipe).stage)
    trainer = train(
        options.recipe, folder, until=options.until, device=options.device, progress=True
    )
    print(f"step {trainer.step} of {trainer.config.steps}; everything is in {folder}")


def _evaluate(options: argparse.Namespace) -> None:
    model, tokenizer = load(options.stage)
    recipe = read_recipe(folder_of(options.stage) / "recipe.toml")
    seen = stories_of_training(recipe, tokenizer) if options.against_training else ()
    scores = evaluate_stories(
        model, tokenizer, stories=options.stories, samples=options.samples, seen=seen
    )
    print(f"bits per character   {scores.bits_per_character:.4f}")
    print(f"the generator's own  {scores.floor:.4f}")
    print(f"difference           {scores.over_floor:.4f}")
    print(f"consistent           {scores.consistent:.1%} of {options.samples} continuations")
    if options.against_training:
        print(f"copies of training   {scores.copied:.1%} (by chance {scores.copied_by_chance:.1%})")
    for mistake in scores.mistakes:
        print(f"  {mistake}")
    if options.save:
        folder = folder_of(options.stage)
        (folder / "evaluation.json").write_text(
            json.dumps(asdict(scores), indent=1) + "\n", encoding="utf-8"
        )
        write_card(folder, recipe, model, scores)


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
