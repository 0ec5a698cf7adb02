"""Speed of writing one text: ours with and without a cache, and ``generate`` of transformers.

``python -m benchmarks.generation`` writes ``benchmarks/results/generation.json``.

The same weights, prompt and greedy choice on both sides; the texts are checked to be equal.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.models import SIZES, make_gpt, make_llama
from benchmarks.recording import record
from benchmarks.timing import in_turns, machine
from llmlib.generation import generate
from llmlib.interop import to_transformers
from llmlib.models import CausalLanguageModel

RESULTS = Path(__file__).parent / "results" / "generation.json"
PROMPT, NEW = 32, 128
# One million parameters, what the book trains and ships; and the size of the training benchmark.
# Each token reads every weight once: the larger the model, the more both libraries wait for memory.
MODELS = {
    "book": SIZES | {"vocab_size": 1024, "dim": 128},
    "training benchmark": SIZES,
}
# What the project promises: our speed divided by that of transformers.
TARGET = 1.5


def writers(model: CausalLanguageModel, ids: Tensor, new: int) -> dict[str, Callable[[], Tensor]]:
    """Ways to write the same text."""
    theirs = to_transformers(model.eval())
    # Both watch for a stop token that never comes: an id beyond the vocabulary.
    stop = model.config.vocab_size
    mask = torch.ones_like(ids)
    their_options = {"do_sample": False, "use_cache": True, "eos_token_id": stop, "pad_token_id": 0}
    our_options = {"temperature": 0, "stop_ids": [stop]}
    return {
        "transformers": lambda: theirs.generate(
            ids, attention_mask=mask, max_new_tokens=new, **their_options
        ),
        "llmlib": lambda: generate(model, ids, max_new_tokens=new, **our_options),
        "no cache": lambda: generate(model, ids, max_new_tokens=new, cache=False, **our_options),
    }


def measure(rounds: int) -> dict[str, Any]:
    """All comparisons, as the page shows them."""
    results: dict[str, Any] = {
        "what": "tokens per second, one text",
        "prompt": PROMPT,
        "new_tokens": NEW,
        "rounds": rounds,
        "machine": machine(),
        "models": [],
    }
    for size, sizes in MODELS.items():
        for name, make in (("GPT", make_gpt), ("Llama", make_llama)):
            torch.manual_seed(0)
            model = make(sizes)
            ids = torch.randint(0, model.config.vocab_size, (1, PROMPT))
            compared = writers(model, ids, NEW)
            texts = [write() for write in compared.values()]
            if not all(torch.equal(text, texts[0]) for text in texts):
                raise RuntimeError(f"{name}: the texts differ, so their times cannot be compared")
            seconds = in_turns(compared, rounds)
            results["models"].append(
                {
                    "model": name,
                    "size": size,
                    "parameters": model.num_parameters,
                    "target": TARGET,
                    "ratio": round(seconds["transformers"] / seconds["llmlib"], 2),
                    "tokens_per_second": {way: round(NEW / s) for way, s in seconds.items()},
                }
            )
    return results


def show(results: dict[str, Any]) -> str:
    """The results as a table."""
    lines = []
    for row in results["models"]:
        millions = row["parameters"] / 1e6
        lines.append(
            f"{row['model']} of {millions:.1f} M ({row['size']}): {row['ratio']} times the speed "
            f"(target {row['target']})"
        )
        for way, speed in row["tokens_per_second"].items():
            lines.append(f"  {way:30}{speed:8} tokens per second")
    return "\n".join(lines)


if __name__ == "__main__":
    record(__doc__.split("\n")[0], measure, show, RESULTS, rounds=9)
