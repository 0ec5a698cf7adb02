"""Exercises of the chapter on information theory."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- cross_entropy ------------------------------------------------------------------------------


def _surprises(logits: Tensor, targets: Tensor) -> Tensor:
    chosen = logits.log_softmax(dim=-1).gather(-1, targets[:, None])  # (T, 1)
    return -chosen[:, 0]


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return _surprises(logits, targets).mean()


def _logits_and_targets(g: Generator) -> tuple[Tensor, Tensor]:
    """Every other case has logits in the hundreds."""
    tokens, vocab_size = draw.integer(g, 3, 6), draw.integer(g, 7, 12)
    size = 300 if g.initial_seed() % 2 else 1
    logits = draw.normal(g, tokens, vocab_size) * size
    return logits, draw.tokens(g, tokens, vocab_size=vocab_size)


# --- bits_per_byte ------------------------------------------------------------------------------

_TEXTS = (
    "The river rose in the night.",
    "夜里河水涨了。",
    "It's 21 °C – and a café is open.",
    "奶奶说：Tea first, 然后再谈。",
)


def _bits_per_byte(loss: float, tokens: int, text: str) -> float:
    return loss * tokens / math.log(2) / len(text.encode())


def _a_measurement(g: Generator) -> tuple[float, int, str]:
    text = _TEXTS[g.initial_seed() % len(_TEXTS)]
    return 1.0 + 3.0 * float(draw.uniform(g, 1)), draw.integer(g, 3, 6), text


# --- mutual_information -------------------------------------------------------------------------


def _entropy(probabilities: Tensor) -> Tensor:
    return -torch.xlogy(probabilities, probabilities).sum() / math.log(2)


def _mutual_information(counts: Tensor) -> Tensor:
    joint = counts / counts.sum()
    return _entropy(joint.sum(dim=0)) + _entropy(joint.sum(dim=1)) - _entropy(joint)


def _naive_mutual_information(counts: Tensor) -> Tensor:
    joint = counts / counts.sum()
    independent = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
    return (joint * (joint / independent).log2()).sum()


def _conditional_entropy(counts: Tensor) -> Tensor:
    joint = counts / counts.sum()
    return _entropy(joint) - _entropy(joint.sum(dim=1))


def _pair_counts(g: Generator) -> tuple[Tensor]:
    """Counts of pairs in which at least one pair was never seen, and every row and column was."""
    rows, columns = draw.integer(g, 2, 3), draw.integer(g, 4, 6)
    counts = torch.randint(1, 9, (rows, columns), generator=g).double()
    counts[draw.integer(g, 0, rows - 1), draw.integer(g, 0, columns - 1)] = 0.0
    return (counts,)


# --- tilt ---------------------------------------------------------------------------------------


def _tilt(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    return (reference.log() + reward / beta).softmax(dim=-1)


def _reference_and_reward(g: Generator) -> tuple[Tensor, Tensor, float]:
    """Every other case has rewards in the hundreds, for which exp overflows."""
    answers = draw.integer(g, 3, 6)
    size = 400 if g.initial_seed() % 2 else 1
    reference = draw.normal(g, answers).softmax(dim=-1)
    return reference, draw.normal(g, answers) * size, 0.2 + float(draw.uniform(g, 1))


def _overflowing_tilt(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    weights = reference * (reward / beta).exp()
    return weights / weights.sum()


# --- decode_point -------------------------------------------------------------------------------


def _decode_point(point: float, probabilities: Tensor, length: int) -> list[int]:
    return _read_symbols(point, probabilities, length)


def _read_symbols(
    point: float, probabilities: Tensor, length: int, *, rescale: bool = True, right: bool = True
) -> list[int]:
    ends = probabilities.double().cumsum(dim=0)
    symbols = []
    for _ in range(length):
        found = torch.searchsorted(ends, torch.tensor(point, dtype=torch.float64), right=right)
        symbol = min(int(found), len(ends) - 1)
        symbols.append(symbol)
        below = float(ends[symbol - 1]) if symbol else 0.0
        point = (point - below) / (float(probabilities[symbol]) if rescale else 1.0)
    return symbols


def _a_point(g: Generator) -> tuple[float, Tensor, int]:
    """Lower end of the interval of a message; powers of two, so that every step is exact."""
    probabilities = torch.tensor([1 / 2, 1 / 4, 1 / 8, 1 / 8], dtype=torch.float64)
    probabilities = probabilities[torch.randperm(4, generator=g)]
    starts = probabilities.cumsum(dim=0) - probabilities
    message = draw.tokens(g, draw.integer(g, 6, 10), vocab_size=4).tolist()
    low, width = 0.0, 1.0
    for symbol in message:
        low += width * float(starts[symbol])
        width *= float(probabilities[symbol])
    return low, probabilities, len(message)


EXERCISES = (
    Choice(
        name="information_theory.predict_cipher",
        right="b",
        why={
            "a": "The text looks like noise to you, because you have read other texts. The model "
            "is trained on this one, in which the same characters follow one another as before.",
            "b": "Counts, and so probabilities, keep their values; they only change their names. "
            "Entropy is a property of the probabilities, not of what they stand for.",
            "c": "Nothing became rarer: each character has exactly the counts of the one it "
            "replaced, in every context.",
            "d": "The alphabet has as many characters as before, and each of them its old counts.",
        },
        hint="Write down P(h | t) of the plain text. Which probability of the new text is equal?",
    ),
    Exercise(
        name="information_theory.cross_entropy",
        reference=_cross_entropy,
        inputs=_logits_and_targets,
        hint="Take log_softmax along the last axis, pick each target's entry, negate, average.",
        remark="This is torch.nn.functional.cross_entropy, the loss of every language model.",
        wrong={
            "log of the softmax": Wrong(
                lambda logits, targets: (
                    -logits.softmax(-1).gather(-1, targets[:, None]).log().mean()
                ),
                "A probability below about 1e-45 became 0 and its logarithm infinite: take "
                "log_softmax in one step.",
            ),
            "bits": Wrong(
                lambda logits, targets: _cross_entropy(logits, targets) / math.log(2),
                "This is right in bits. Losses are in nats: leave out the division by ln 2.",
            ),
            "sum": Wrong(
                lambda logits, targets: _surprises(logits, targets).sum(),
                "This is the sum over the tokens: the loss is their mean.",
            ),
            "perplexity": Wrong(
                lambda logits, targets: _cross_entropy(logits, targets).exp(),
                "You took the exponential as well: that is the perplexity.",
            ),
            "positive": Wrong(
                lambda logits, targets: -_cross_entropy(logits, targets),
                "The sign is wrong: log-probabilities are negative, surprise is not.",
            ),
            "along the tokens": Wrong(
                lambda logits, targets: (
                    -logits.log_softmax(dim=0).gather(-1, targets[:, None]).mean()
                ),
                "Your softmax runs over the positions. It has to run over the vocabulary.",
            ),
        },
    ),
    Exercise(
        name="information_theory.bits_per_byte",
        reference=_bits_per_byte,
        inputs=_a_measurement,
        hint="loss × tokens are the nats of the whole text. Turn them into bits, then share them "
        "out among the bytes of its UTF-8 form.",
        remark="Two models with different tokenizers can now be compared.",
        wrong={
            "per character": Wrong(
                lambda loss, tokens, text: loss * tokens / math.log(2) / len(text),
                "len(text) counts characters; a Chinese one takes three bytes: len(text.encode()).",
            ),
            "nats": Wrong(
                lambda loss, tokens, text: loss * tokens / len(text.encode()),
                "These are nats per byte: divide by ln 2.",
            ),
            "multiplied by ln 2": Wrong(
                lambda loss, tokens, text: loss * tokens * math.log(2) / len(text.encode()),
                "One nat is more than one bit, so the number has to grow: divide by ln 2.",
            ),
            "tokens forgotten": Wrong(
                lambda loss, tokens, text: loss / math.log(2) / len(text.encode()),
                "The loss is a mean per token: multiply by the number of tokens first.",
            ),
            "per token": Wrong(
                lambda loss, tokens, text: loss / math.log(2),
                "These are bits per token, which depend on the tokenizer.",
            ),
        },
    ),
    Exercise(
        name="information_theory.mutual_information",
        reference=_mutual_information,
        inputs=_pair_counts,
        hint="Divide by the total first. Then H(X) + H(Y) - H(X, Y), where 0 · log 0 counts as 0 "
        "(torch.xlogy knows that).",
        remark="Pairs that were never seen cost nothing, and the answer is in bits.",
        wrong={
            "NaN": Wrong(
                _naive_mutual_information,
                "A pair that was never seen gave 0 · log 0 = NaN. Its share is 0.",
            ),
            "nats": Wrong(
                lambda counts: _mutual_information(counts) * math.log(2),
                "This is right in nats; the exercise asks for bits.",
            ),
            "conditional entropy": Wrong(
                _conditional_entropy,
                "This is H(Y | X), what is left to learn about Y. Subtract it from H(Y).",
            ),
            "joint entropy": Wrong(
                lambda counts: _entropy(counts / counts.sum()),
                "This is H(X, Y), what both together are worth. Subtract it from H(X) + H(Y).",
            ),
            "not normalised": Wrong(
                lambda counts: (
                    _entropy(counts.sum(dim=0)) + _entropy(counts.sum(dim=1)) - _entropy(counts)
                ),
                "These are counts: divide by their total to get probabilities.",
            ),
        },
    ),
    Exercise(
        name="information_theory.tilt",
        reference=_tilt,
        inputs=_reference_and_reward,
        hint="p is proportional to reference · exp(reward / beta). Stay in logarithms: which "
        "logits give this as their softmax?",
        remark="This is the policy that RLHF aims at, and the starting point of DPO.",
        wrong={
            "no reference": Wrong(
                lambda reference, reward, beta: (reward / beta).softmax(-1),
                "The reference is missing: without it the penalty is entropy alone.",
            ),
            "reference not in logarithms": Wrong(
                lambda reference, reward, beta: (reference + reward / beta).softmax(-1),
                "You added probabilities to logits. The logarithm of the reference belongs there.",
            ),
            "multiplied by beta": Wrong(
                lambda reference, reward, beta: (reference.log() + reward * beta).softmax(-1),
                "A large beta has to hold p near the reference: divide the reward by it.",
            ),
            "all divided by beta": Wrong(
                lambda reference, reward, beta: ((reference.log() + reward) / beta).softmax(-1),
                "Only the reward is divided by beta: the reference keeps its own logits.",
            ),
            "overflow": Wrong(
                _overflowing_tilt,
                "exp of a reward of some hundreds is infinite: work with logits and softmax.",
            ),
        },
    ),
    Exercise(
        name="information_theory.decode_point",
        reference=_decode_point,
        inputs=_a_point,
        hint="Find the part [start, end) in which the point lies. What must happen to the point "
        "before the same table can be used for the next symbol?",
        remark="You decoded the message from one number and the model.",
        wrong={
            "never rescaled": Wrong(
                lambda point, probabilities, length: _read_symbols(
                    point, probabilities, length, rescale=False
                ),
                "The parts get narrower with each symbol: after subtracting the start, divide by "
                "the probability.",
            ),
            "same point": Wrong(
                lambda point, probabilities, length: (
                    _read_symbols(point, probabilities, 1) * length
                ),
                "You read the first symbol again and again: move into its part first.",
            ),
            "wrong end": Wrong(
                lambda point, probabilities, length: _read_symbols(
                    point, probabilities, length, right=False
                ),
                "A part holds its start and not its end: start <= point < end.",
            ),
            "most probable": Wrong(
                lambda point, probabilities, length: [int(probabilities.argmax())] * length,
                "You predicted the most probable symbol. The point says which one it was.",
            ),
        },
    ),
)
