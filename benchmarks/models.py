"""Speed of a training step: GPT and Llama against transformers.

``python -m benchmarks.models`` writes ``benchmarks/results/models.json``.

Both sides take the same batch, the same sizes, float32, no dropout and the same optimizer
(``torch.optim.AdamW`` with its fused step). Beside our model stand versions of it with one part
replaced by its plain form, so that the page can show what each part brings.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.recording import record
from benchmarks.timing import in_turns, machine, matmul_peak
from llmlib.interop import to_transformers
from llmlib.models import GPT, CausalLanguageModel, GPTConfig, Llama, LlamaConfig
from llmlib.nn import gelu, linear_layer, plain_attention, plain_linear_cross_entropy

RESULTS = Path(__file__).parent / "results" / "models.json"
SIZES = {"vocab_size": 4096, "context_length": 256, "dim": 256, "num_layers": 4, "num_heads": 4}
BATCH = 8
# What the project promises: our speed divided by that of transformers.
TARGETS = {"GPT": 1.25, "Llama": 1.0}

Step = Callable[[], Any]


class PlainGELU(nn.Module):
    """GELU as its formula says it, one operation at a time."""

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, tanh=True)


def training_step(model: nn.Module, loss: Callable[[], Tensor]) -> Step:
    """One step of AdamW on a loss."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


@contextmanager
def without_onednn() -> Iterator[None]:
    """All matrix products by the kernel that ``torch.nn.functional.linear`` calls."""
    kept, linear_layer._MIN_ROWS = linear_layer._MIN_ROWS, 2**62
    try:
        yield
    finally:
        linear_layer._MIN_ROWS = kept


def steps(make: Callable[[], CausalLanguageModel], ids: Tensor) -> dict[str, Step]:
    """Steps to compare, by what they show; ``ids`` is ``(B, T + 1)``."""
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def ours(change: Callable[[CausalLanguageModel], None] | None = None) -> Step:
        model = make()
        if change is not None:
            change(model)
        return training_step(model, lambda: model.loss(inputs, targets))

    def whole_logits() -> Step:
        model = make()

        def loss() -> Tensor:
            hidden = model.hidden_states(inputs)
            return plain_linear_cross_entropy(hidden, model.output_weight, targets)

        return training_step(model, loss)

    def naive_attention(model: CausalLanguageModel) -> None:
        for block in model.blocks:
            block.attention.attend = plain_attention

    def plain_gelu(model: CausalLanguageModel) -> None:
        for block in model.blocks:
            block.feedforward.activation = PlainGELU()

    def mkl(step: Step) -> Step:
        def slower() -> None:
            with without_onednn():
                step()

        return slower

    def peer() -> Step:
        theirs = to_transformers(make())
        # They shift the labels inside: the last place has no target there.
        return training_step(theirs, lambda: theirs(inputs, labels=inputs, use_cache=False).loss)

    compared = {
        "transformers": peer(),
        "llmlib": ours(),
        "naive attention": ours(naive_attention),
        "all logits at once": whole_logits(),
        "matrix products by MKL": mkl(ours()),
    }
    if isinstance(make(), GPT):
        compared["GELU one operation at a time"] = ours(plain_gelu)
    return compared


def make_gpt(sizes: Mapping[str, int] = SIZES) -> GPT:
    return GPT(GPTConfig(**sizes))


def make_llama(sizes: Mapping[str, int] = SIZES) -> Llama:
    config = LlamaConfig(**sizes, num_kv_heads=2, hidden_dim=3 * sizes["dim"], tie_embeddings=True)
    return Llama(config)


def operations(model: CausalLanguageModel, batch: int, length: int) -> int:
    """Float operations of a training step: three times those of the forward pass.

    Forward, every weight of a matrix is used once per token (a product and a sum), and every
    layer multiplies queries with keys and weights with values.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    matrices = sum(layer.weight.numel() for layer in layers)
    tied = model.token_embedding.weight.numel() if model.output is None else 0
    attention = sum(
        4 * block.attention.num_heads * block.attention.head_dim * length for block in model.blocks
    )
    return 3 * batch * length * (2 * (matrices + tied) + attention)


def measure(rounds: int) -> dict[str, Any]:
    """All comparisons, as the page shows them."""
    torch.manual_seed(0)
    ids = torch.randint(0, SIZES["vocab_size"], (BATCH, SIZES["context_length"] + 1))
    peak = matmul_peak()
    results: dict[str, Any] = {
        "what": "seconds of a training step",
        "sizes": SIZES | {"batch": BATCH},
        "rounds": rounds,
        "machine": machine(),
        "matmul_peak_gflops": round(peak / 1e9, 1),
        "models": {},
    }
    for name, make in (("GPT", make_gpt), ("Llama", make_llama)):
        seconds = in_turns(steps(make, ids), rounds)
        work = operations(make(), BATCH, SIZES["context_length"])
        results["models"][name] = {
            "target": TARGETS[name],
            "ratio": round(seconds["transformers"] / seconds["llmlib"], 2),
            "seconds": {step: round(value, 4) for step, value in seconds.items()},
            "share_of_peak": {
                step: round(work / value / peak, 2) for step, value in seconds.items()
            },
        }
    return results


def show(results: dict[str, Any]) -> str:
    """The results as a table."""
    lines = [f"matrix product: {results['matmul_peak_gflops']} GFLOP/s on one thread"]
    for name, model in results["models"].items():
        lines.append(f"\n{name}: {model['ratio']} times the speed (target {model['target']})")
        for step, seconds in model["seconds"].items():
            lines.append(f"  {step:30}{seconds:8.3f} s{model['share_of_peak'][step]:8.0%} of peak")
    return "\n".join(lines)


if __name__ == "__main__":
    record(__doc__.split("\n")[0], measure, show, RESULTS, rounds=15)
