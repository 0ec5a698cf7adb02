"""Write stories to a file, or describe the world in numbers: ``python -m llmlib.data.stories``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from .describe import describe
from .generate import generate_stories
from .record import SPLITS, Story
from .vocabulary import LANGUAGES


def line_of(story: Story, form: str) -> str:
    """Return what stands in the file for a story."""
    if form == "text":
        return story.text
    record = {name: value for name, value in dataclasses.asdict(story.record).items() if value}
    row = {"text": story.text, "bits": round(story.bits, 6), "record": record}
    return json.dumps(row, ensure_ascii=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m llmlib.data.stories", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="how many stories (1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--language", choices=LANGUAGES, default="en")
    parser.add_argument("--format", choices=("text", "jsonl"), default="text", dest="form")
    parser.add_argument("--out", type=Path, help="file to write; standard output if left out")
    parser.add_argument("--describe", action="store_true", help="print numbers in place of stories")
    options = parser.parse_args(arguments)
    drawn = {"seed": options.seed, "split": options.split, "language": options.language}
    if options.describe:
        for name, value in describe(options.count, **drawn).items():
            print(f"{name:32} {value:,.4g}" if isinstance(value, float) else f"{name:32} {value:,}")
        return 0
    stories = generate_stories(options.count, **drawn)
    if options.out is None:
        for story in stories:
            print(line_of(story, options.form))
        return 0
    with options.out.open("w", encoding="utf-8") as file:
        file.writelines(line_of(story, options.form) + "\n" for story in stories)
    return 0


if __name__ == "__main__":
    sys.exit(main())
