"""Speed of the tokenizers beside the Rust library ``tokenizers``.

``python -m benchmarks.tokenizers`` writes ``benchmarks/results/tokenizers.json``.

Both sides get the same text, the same pre-tokenization and the same vocabulary, on one thread.
Every round uses a tokenizer that has encoded nothing before, so that its cache is empty; "again"
is the second time it sees the text. The texts have the statistics that matter here: words
repeat by Zipf's law, so that a megabyte holds some ten thousand different ones.
"""

import json
import os
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

# The Rust library reads this when it is first used: one thread there, as here.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from benchmarks.recording import record
from benchmarks.timing import in_turns, machine
from llmlib.tokenizers import BPETokenizer, Tokenizer, UnigramTokenizer, WordPieceTokenizer

RESULTS = Path(__file__).parent / "results" / "tokenizers.json"
SIZE = 1_000_000
VOCAB_SIZE = 8000
# What the project promises: our time divided by that of the Rust library, at most.
TARGETS = {"BPE, train": 2.0, "BPE, encode": 1.0}

ONSETS = ["", *"bcdfghlmnprstvw", "ch", "sh", "th", "st", "tr", "br", "pl"]
VOWELS = [*"aeiou", "ea", "ou"]
CODAS = ["", "", *"nrstlm", "nd", "ng", "st"]


def zipf_draws(types: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers below ``types``, the n-th about 1 / n times as often as the first."""
    chance = 1 / (np.arange(types) + 2.7)
    return rng.choice(types, number, p=chance / chance.sum())


def english_like(size: int = SIZE, types: int = 25_000, seed: int = 0) -> str:
    """Words of random syllables in sentences; frequent words are short, as in any language."""
    rng = np.random.default_rng(seed)
    words: dict[str, None] = {}
    while len(words) < types:
        syllables = 1 + int(rng.poisson(min(2.0, len(words) / 1500)))
        parts = [rng.choice(part) for _ in range(syllables) for part in (ONSETS, VOWELS, CODAS)]
        words["".join(parts)] = None
    ordered = list(words)
    drawn = zipf_draws(types, size // 3, rng)
    ends = rng.choice([" ", ", ", ". ", ".\n\n"], len(drawn), p=[0.87, 0.06, 0.06, 0.01])
    return "".join(ordered[i] + end for i, end in zip(drawn, ends, strict=True))[:size]


def chinese_like(size: int = SIZE, types: int = 15_000, seed: int = 0) -> str:
    """Words of one to four Chinese characters without spaces, in clauses; ``size`` in bytes."""
    rng = np.random.default_rng(seed)
    characters = [chr(0x4E00 + i) for i in rng.permutation(6000)[:3500]]
    spelled = zipf_draws(3500, 4 * types, rng).reshape(types, 4)
    lengths = rng.choice([1, 2, 3, 4], types, p=[0.15, 0.6, 0.15, 0.1])
    words = [
        "".join(characters[i] for i in row[:n]) for row, n in zip(spelled, lengths, strict=True)
    ]
    drawn = zipf_draws(types, size // 4, rng)
    ends = rng.choice(["", "\uff0c", "\u3002", "\u3002\n"], len(drawn), p=[0.86, 0.08, 0.05, 0.01])
    text = "".join(words[i] + end for i, end in zip(drawn, ends, strict=True))
    return text.encode()[:size].decode("utf-8", "ignore")


def texts() -> dict[str, str]:
    """The texts to measure on."""
    return {
        "English-like, 1 MB": english_like(),
        "Chinese-like, 1 MB": chinese_like(),
        "documentation of Python, 0.5 MB": "\n".join(topics[name] for name in sorted(topics)),
    }


def rust_bpe(text: str, vocab_size: int) -> tokenizers.Tokenizer:
    """Byte-level BPE trained by the Rust library, to our size and with our words."""
    rust = tokenizers.Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    rust.train_from_iterator([text], trainer)
    return rust


def training(text: str, vocab_size: int) -> dict[str, Callable[[], Any]]:
    """Both sides training on a text."""
    return {
        "llmlib": lambda: BPETokenizer.train([text], vocab_size),
        "tokenizers": lambda: rust_bpe(text, vocab_size),
    }


def encoding(tokenizer: Tokenizer, text: str, rounds: int, *, again: bool = False) -> dict:
    """Both sides encoding a text with the vocabulary of ``tokenizer``."""
    data = tokenizer.to_json()
    written = json.dumps(data)
    number = 1 if again else rounds + 1  # in_turns has one round that does not count
    ours = [type(tokenizer).from_json(data) for _ in range(number)]
    theirs = [tokenizers.Tokenizer.from_str(written) for _ in range(number)]
    if tokenizer.encode(text) != tokenizers.Tokenizer.from_str(written).encode(text).ids:
        raise RuntimeError("the two sides give different ids: there is nothing to compare")
    ours_in_turn, theirs_in_turn = cycle(ours), cycle(theirs)
    return {
        "llmlib": lambda: next(ours_in_turn).encode(text),
        "tokenizers": lambda: next(theirs_in_turn).encode(text).ids,
    }


def measure(rounds: int) -> dict[str, Any]:
    """All comparisons, as the page shows them."""
    results: dict[str, Any] = {
        "what": "seconds, and ours divided by those of the Rust library",
        "vocab_size": VOCAB_SIZE,
        "rounds": rounds,
        "machine": machine() | {"tokenizers": tokenizers.__version__},
        "targets": TARGETS,
        "texts": {},
    }
    for name, text in texts().items():
        bpe = BPETokenizer.train([text], VOCAB_SIZE)
        wordpiece = WordPieceTokenizer.train([text], VOCAB_SIZE)
        unigram = UnigramTokenizer.train([text], VOCAB_SIZE)
        compared = {
            "BPE, train": training(text, VOCAB_SIZE),
            "BPE, encode": encoding(bpe, text, rounds),
            "BPE, encode again": encoding(bpe, text, rounds, again=True),
            "WordPiece, encode": encoding(wordpiece, text, rounds),
            "Unigram, encode": encoding(unigram, text, rounds),
        }
        rows = {}
        for what, steps in compared.items():
            seconds = in_turns(steps, rounds)
            rows[what] = {
                "ratio": round(seconds["llmlib"] / seconds["tokenizers"], 2),
                "seconds": {side: round(value, 4) for side, value in seconds.items()},
            }
        results["texts"][name] = {
            "characters": len(text),
            "different_words": len(set(bpe.pre_tokenizer.split(text))),
            "measured": rows,
        }
    return results


def show(results: dict[str, Any]) -> str:
    """The results as a table."""
    lines = []
    for name, text in results["texts"].items():
        lines.append(f"\n{name}: {text['different_words']} different words")
        lines.append(f"  {'':22}{'llmlib':>9}{'tokenizers':>12}{'ratio':>8}")
        for what, row in text["measured"].items():
            ours, theirs = row["seconds"]["llmlib"], row["seconds"]["tokenizers"]
            target = results["targets"].get(what)
            promise = "" if target is None else f"  (target at most {target})"
            lines.append(f"  {what:22}{ours:7.3f} s{theirs:10.3f} s{row['ratio']:8.2f}{promise}")
    return "\n".join(lines).lstrip()


if __name__ == "__main__":
    record(__doc__.split("\n")[0], measure, show, RESULTS, rounds=7)
