"""``python -m llmlib.retrieval evaluate`` or ``train``: numbers, and the encoders they rest on."""

import argparse
from pathlib import Path

from llmlib.retrieval.island_numbers import (
    TRAINED,
    held_out_examples,
    island_retrievers,
    load_island_encoder,
    load_island_reranker,
    search_numbers,
    train_encoders,
)
from llmlib.retrieval.island_search import island_chunks


def evaluate() -> str:
    """A table: every retriever on the held-out questions."""
    island, questions = held_out_examples()
    retrievers = island_retrievers(
        island_chunks(island), load_island_encoder(), load_island_reranker()
    )
    lines = [
        f"The encyclopaedia of {island.name}: {len(island.articles)} articles, all names unseen; "
        "95 % intervals"
    ]
    for kind, examples in questions.items():
        lines.append(f"\n{len(examples)} questions {kind}")
        for name, measures in search_numbers(retrievers, examples).items():
            cells = [
                f"{measure} {100 * value:5.1f} % ({100 * low:.1f} to {100 * high:.1f})"
                for measure, (value, low, high) in measures.items()
            ]
            lines.append(f"  {name:10}" + "   ".join(f"{cell:32}" for cell in cells).rstrip())
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(prog="python -m llmlib.retrieval", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("evaluate", help="numbers of all retrievers on a held-out island")
    train = commands.add_parser("train", help="train both encoders: about five minutes")
    train.add_argument("--path", type=Path, default=TRAINED)
    train.add_argument("--encoder-steps", type=int, default=600)
    train.add_argument("--reranker-steps", type=int, default=1500)
    options = parser.parse_args(arguments)
    if options.command == "evaluate":
        print(evaluate())
        return
    losses = train_encoders(
        options.path,
        encoder_steps=options.encoder_steps,
        reranker_steps=options.reranker_steps,
    )
    for name, row in losses.items():
        print(f"{name}: loss {row[0]:.2f} at first, {sum(row[-20:]) / len(row[-20:]):.2f} at last")


if __name__ == "__main__":
    main()
