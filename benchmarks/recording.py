"""From a measurement to its file: what every benchmark does when it is run."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["record"]


def record(
    description: str,
    measure: Callable[[int], dict[str, Any]],
    show: Callable[[dict[str, Any]], str],
    path: Path,
    *,
    rounds: int,
    arguments: list[str] | None = None,
) -> None:
    """Measure over ``--rounds`` rounds, write the results to ``path`` as JSON and print them."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds)
    results = measure(parser.parse_args(arguments).rounds)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(show(results))
