"""Heads, width and depth against quality: small Transformers trained on one translation task.

``python -m benchmarks.translation`` writes ``llmlib/data/translation_sizes.json``, which the
chapter on the encoder-decoder Transformer reads through
:func:`llmlib.data.translation.recorded_sizes`. The file lies in the library because a
notebook that runs on Colab has the library and nothing else.

Every model reads the same sentences in the same order. Several learning rates are tried for each,
since one rate for all would favour the size that it happens to suit; all of them are recorded.
Nothing is timed, so it does not matter how busy the machine is.
"""

import argparse
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import machine
from llmlib.data.translation import SentencePair, parallel_corpus, split_corpus
from llmlib.evaluation import corpus_bleu, split_characters
from llmlib.generation import generate
from llmlib.models import Transformer, TransformerConfig, shift_right
from llmlib.text import Vocabulary

RESULTS = Path(__file__).parents[1] / "llmlib" / "data" / "translation_sizes.json"
PAD, START, END = 0, 1, 2
SPECIAL = ("<pad>", "<start>", "<end>")
BASE = {"dim": 32, "num_layers": 2, "num_heads": 4}
SWEEPS: Mapping[str, Sequence[int]] = {
    "num_heads": (1, 2, 4, 8, 16),
    "dim": (8, 16, 32, 64),
    "num_layers": (1, 2, 3, 4),
}
TRAINING, HELD_OUT = 3_600, 400  # sentences
BATCH, WARMUP, SMOOTHING = 32, 60, 0.1
CHECKPOINTS = (250, 750)  # steps after which a model is measured
FACTORS = (0.25, 0.5, 1.0)  # of the learning rate
SEEDS = (0, 1)


class Corpus:
    """Sentences as ids, in batches."""

    def __init__(self, training: int = TRAINING, held_out: int = HELD_OUT) -> None:
        pairs = parallel_corpus(training + held_out)
        self.train, self.test = split_corpus(pairs, held_out / len(pairs))
        words = (word for pair in self.train for word in (*pair.english, *pair.chinese))
        self.tokens = (*SPECIAL, *Vocabulary(words).tokens)
        self.number = {token: number for number, token in enumerate(self.tokens)}

    def batch(self, pairs: Sequence[SentencePair]) -> tuple[Tensor, Tensor]:
        """Sources ``(B, S)`` and targets with their end token ``(B, T)``, padded on the right."""
        sources = [[self.number[word] for word in pair.english] for pair in pairs]
        targets = [[self.number[word] for word in pair.chinese] + [END] for pair in pairs]
        return _padded(sources), _padded(targets)

    def text(self, ids: Sequence[int]) -> str:
        """Characters without the special tokens."""
        return "".join(self.tokens[number] for number in ids if number >= len(SPECIAL))


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


def noam(step: int, *, dim: int, warmup: int, factor: float) -> float:
    """Learning rate of step 1, 2, …: linear warm-up, then one over the square root."""
    return factor * dim**-0.5 * min(step**-0.5, step * warmup**-1.5)


def make(corpus: Corpus, sizes: Mapping[str, int], seed: int) -> Transformer:
    """A new model; the same seed gives the same weights."""
    torch.manual_seed(seed)
    return Transformer(
        TransformerConfig(
            vocab_size=len(corpus.tokens), context_length=32, start_id=START, padding_id=PAD,
            **sizes,
        )
    )  # fmt: skip


def train(
    model: Transformer, corpus: Corpus, *, steps: int, factor: float, seed: int
) -> Iterator[float]:
    """Train, and give the loss of every step."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0
    )
    draw = random.Random(seed)
    for step in range(1, steps + 1):
        source, target = corpus.batch(draw.sample(corpus.train, BATCH))
        rate = noam(step, dim=model.config.dim, warmup=WARMUP, factor=factor)
        optimizer.param_groups[0]["lr"] = rate
        logits = model(source, shift_right(target, START), source != PAD)
        loss = F.cross_entropy(
            logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=SMOOTHING
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def held_out_loss(model: Transformer, corpus: Corpus) -> float:
    """Cross-entropy of the held-out translations, not smoothed, in nats per token."""
    source, target = corpus.batch(corpus.test)
    logits = model(source, shift_right(target, START), source != PAD)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD).item()


def bleu(model: Transformer, corpus: Corpus) -> float:
    """BLEU over characters of greedy translations of the held-out sentences."""
    source, target = corpus.batch(corpus.test)
    written = generate(
        model, source, max_new_tokens=target.shape[1] + 3, temperature=0.0, stop_ids=[END],
        pad_id=PAD, mask=source != PAD,
    )  # fmt: skip
    texts = [corpus.text(row) for row in written.tolist()]
    references = ["".join(pair.chinese) for pair in corpus.test]
    return corpus_bleu(texts, [references], split=split_characters)


def models() -> list[dict[str, int]]:
    """Sizes of every model of the experiment, each once."""
    found = [BASE | {name: value} for name, values in SWEEPS.items() for value in values]
    return [sizes for number, sizes in enumerate(found) if sizes not in found[:number]]


def measure_model(
    corpus: Corpus, sizes: Mapping[str, int], checkpoints: Sequence[int]
) -> list[dict[str, Any]]:
    """Train a model with every factor from every seed: a row per factor and checkpoint.

    The schedule does not depend on the length of the training, so one run serves all checkpoints.
    """
    rows = []
    for factor in FACTORS:
        found: dict[int, dict[str, list[float]]] = {}
        for seed in SEEDS:
            model = make(corpus, sizes, seed)
            losses = train(model, corpus, steps=max(checkpoints), factor=factor, seed=seed)
            for step, _ in enumerate(losses, start=1):
                if step in checkpoints:
                    row = found.setdefault(step, {"loss": [], "bleu": []})
                    row["loss"].append(round(held_out_loss(model, corpus), 4))
                    row["bleu"].append(round(bleu(model, corpus), 2))
        about = {**sizes, "parameters": model.num_parameters, "factor": factor}
        rows += [about | {"steps": step} | row for step, row in found.items()]
    return rows


def in_float64(sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """One model of the experiment, with numbers that other machines get too."""
    torch.set_num_threads(1)
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return measure_model(Corpus(), sizes, CHECKPOINTS)
    finally:
        torch.set_default_dtype(kept)


def measure(processes: int) -> dict[str, Any]:
    """The whole experiment."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        rows = []
        for found in pool.map(in_float64, models()):
            rows += found
            print("\n".join(line(row) for row in found), flush=True)
    return {
        "what": "small Transformers on one translation task: heads, width and depth",
        "training": {
            "sentences": TRAINING, "held_out": HELD_OUT, "batch": BATCH, "warmup": WARMUP,
            "label_smoothing": SMOOTHING, "seeds": SEEDS, "factors": FACTORS, "steps": CHECKPOINTS,
        },
        "base": BASE,
        "machine": machine(),
        "rows": rows,
    }  # fmt: skip


def line(row: Mapping[str, Any]) -> str:
    """One row of the results."""
    sizes = f"width {row['dim']:3}  layers {row['num_layers']}  heads {row['num_heads']:2}"
    run = f"{row['parameters']:7} weights  {row['steps']:4} steps  factor {row['factor']:4}"
    return f"{sizes}  {run}  loss {fmean(row['loss']):.3f}  BLEU {fmean(row['bleu']):5.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=1, help="models trained side by side")
    arguments = parser.parse_args()
    results = measure(arguments.processes)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
