"""Exercises of the chapter on pretraining a model."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.training import dequantize_blocks, dynamic_table, quantize_blocks

__all__ = ["EXERCISES"]


# --- floor_in_nats ------------------------------------------------------------------------------


def _floor(bits: Tensor, tokens: Tensor) -> Tensor:
    return math.log(2) * bits.sum() / tokens.sum()


def _floor_in_bits(bits: Tensor, tokens: Tensor) -> Tensor:
    return bits.sum() / tokens.sum()


def _floor_per_text(bits: Tensor, tokens: Tensor) -> Tensor:
    return math.log(2) * (bits / tokens).mean()


def _floor_wrong_way(bits: Tensor, tokens: Tensor) -> Tensor:
    return bits.sum() / tokens.sum() / math.log(2)


def _floor_of_a_text(bits: Tensor, tokens: Tensor) -> Tensor:
    return math.log(2) * bits.mean()


def _texts(g: Generator) -> tuple[Tensor, Tensor]:
    count = draw.integer(g, 3, 8)
    tokens = torch.tensor([draw.integer(g, 20, 300) for _ in range(count)]).float()
    return 40 + 10 * draw.normal(g, count).abs(), tokens


# --- warmup_stable_decay ------------------------------------------------------------------------


def _rate(step: int, max_lr: float, warmup: int, decay: int, total: int) -> float:
    if step < warmup:
        return max_lr * (step + 1) / warmup
    return max_lr * min(1.0, (total - step) / decay)


def _rate_from_zero(step: int, max_lr: float, warmup: int, decay: int, total: int) -> float:
    if step < warmup:
        return max_lr * step / warmup
    return _rate(step, max_lr, warmup, decay, total)


def _rate_falling_at_once(step: int, max_lr: float, warmup: int, decay: int, total: int) -> float:
    if step < warmup:
        return max_lr * (step + 1) / warmup
    return max_lr * (total - step) / (total - warmup)


def _rate_never_falling(step: int, max_lr: float, warmup: int, decay: int, total: int) -> float:
    return max_lr * min(1.0, (step + 1) / warmup)


def _rate_rising(step: int, max_lr: float, warmup: int, decay: int, total: int) -> float:
    if step < total - decay:
        return _rate(step, max_lr, warmup, decay, total)
    return max_lr * (step - (total - decay)) / decay


def _step(g: Generator) -> tuple[int, float, int, int, int]:
    warmup, decay = draw.integer(g, 5, 20), draw.integer(g, 20, 40)
    total = warmup + decay + draw.integer(g, 20, 60)
    parts = (
        (0, warmup - 1),
        (warmup, total - decay - 1),
        (total - decay, total - 1),
    )
    low, high = parts[draw.integer(g, 0, 2)]
    return draw.integer(g, low, high), 0.01 * draw.integer(g, 1, 9), warmup, decay, total


# --- adam_update --------------------------------------------------------------------------------


def _adam(
    gradients: Tensor, lr: float, beta1: float, beta2: float, *, mistake: str = ""
) -> Tensor | float:
    """Change of a weight in the last step; ``mistake`` makes the known ones."""
    mean = square = torch.zeros(())
    for gradient in gradients:
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
    steps = len(gradients)
    if mistake != "uncorrected":
        mean = mean / (1 - beta1**steps)
        square = square / (1 - beta2**steps)
    if mistake == "square":
        return -lr * mean / square
    return (lr if mistake == "sign" else -lr) * mean / square.sqrt()


def _adam_update(gradients: Tensor, lr: float, beta1: float, beta2: float) -> Tensor | float:
    return _adam(gradients, lr, beta1, beta2)


def _adam_uncorrected(gradients: Tensor, lr: float, beta1: float, beta2: float) -> Tensor | float:
    return _adam(gradients, lr, beta1, beta2, mistake="uncorrected")


def _adam_sign(gradients: Tensor, lr: float, beta1: float, beta2: float) -> Tensor | float:
    return _adam(gradients, lr, beta1, beta2, mistake="sign")


def _adam_square(gradients: Tensor, lr: float, beta1: float, beta2: float) -> Tensor | float:
    return _adam(gradients, lr, beta1, beta2, mistake="square")


def _adam_of_the_last(gradients: Tensor, lr: float, beta1: float, beta2: float) -> Tensor | float:
    return -lr * gradients[-1].sign()


def _gradients(g: Generator) -> tuple[Tensor, float, float, float]:
    steps = draw.integer(g, 2, 8)
    return draw.normal(g, steps), 0.01 * draw.integer(g, 1, 9), 0.9, 0.98


# --- noise_scale --------------------------------------------------------------------------------


def _noise_scale(squared_small: float, squared_large: float, small: int, large: int) -> float:
    noise = (squared_small - squared_large) / (1 / small - 1 / large)
    return noise / (squared_large - noise / large)


def _noise_signal_of_large(
    squared_small: float, squared_large: float, small: int, large: int
) -> float:
    return (squared_small - squared_large) / (1 / small - 1 / large) / squared_large


def _noise_without_sizes(
    squared_small: float, squared_large: float, small: int, large: int
) -> float:
    return (squared_small - squared_large) / squared_large


def _noise_inverted(squared_small: float, squared_large: float, small: int, large: int) -> float:
    return 1 / _noise_scale(squared_small, squared_large, small, large)


def _lengths(g: Generator) -> tuple[float, float, int, int]:
    signal, noise = 0.1 * draw.integer(g, 1, 20), 0.5 * draw.integer(g, 2, 60)
    small, large = draw.integer(g, 1, 8), draw.integer(g, 16, 128)
    return signal + noise / small, signal + noise / large, small, large


# --- round_trip ---------------------------------------------------------------------------------


def _round_trip(values: Tensor, table: Tensor, size: int) -> Tensor:
    return dequantize_blocks(*quantize_blocks(values, table, size), table, size)


def _round_trip_one_block(values: Tensor, table: Tensor, size: int) -> Tensor:
    return _round_trip(values, table, len(values))


def _round_trip_largest(values: Tensor, table: Tensor, size: int) -> Tensor:
    blocks = values.view(-1, size)
    scales = blocks.amax(dim=1, keepdim=True).clamp(min=1e-30)
    codes = (blocks[..., None] / scales[..., None] - table).abs().argmin(dim=-1)
    return (table[codes] * scales).flatten()


def _round_trip_down(values: Tensor, table: Tensor, size: int) -> Tensor:
    blocks = values.view(-1, size)
    scales = blocks.abs().amax(dim=1, keepdim=True)
    codes = torch.searchsorted(table, blocks / scales.clamp(min=1e-30), right=True) - 1
    return (table[codes.clamp(min=0)] * scales).flatten()


def _round_trip_unscaled(values: Tensor, table: Tensor, size: int) -> Tensor:
    scales = values.view(-1, size).abs().amax(dim=1).repeat_interleave(size)
    codes = (values[:, None] / scales.clamp(min=1e-30)[:, None] - table).abs().argmin(dim=-1)
    return table[codes]


def _round_trip_divides_by_zero(values: Tensor, table: Tensor, size: int) -> Tensor:
    scales = values.view(-1, size).abs().amax(dim=1, keepdim=True)
    shares = values.view(-1, size) / scales
    codes = (shares[..., None] - table).abs().argmin(dim=-1)
    return (table[codes] * scales + 0 * shares).flatten()


def _blocks(g: Generator) -> tuple[Tensor, Tensor, int]:
    size, count = draw.integer(g, 3, 6), draw.integer(g, 2, 4)
    values = draw.normal(g, count, size) * 10.0 ** draw.normal(g, count, 1)
    values[0] = -values[0].abs() - 0.01  # a block whose largest number is negative
    if draw.integer(g, 0, 1):
        values[-1] = 0
    return values.flatten(), dynamic_table(signed=True), size


EXERCISES = (
    Choice(
        name="pretraining.predict_below",
        right="b",
        why={
            "a": "On average over the world no model can beat its entropy; that is what makes it a "
            "floor.",
            "b": "The texts of the training have become known by heart, which needs no knowledge "
            "of the world; and what was learned by heart does not help with others.",
            "c": "A low rate keeps the loss above the floor for longer.",
            "d": "A leak would lower both losses: the held-out targets can be seen as well.",
        },
        hint="Which cause tells the two losses apart?",
    ),
    Exercise(
        name="pretraining.floor_in_nats",
        reference=_floor,
        inputs=_texts,
        hint="The loss is a mean over all tokens of all texts, so sum both first. One bit is ln 2 "
        "nats.",
        remark="Long texts count more, as they do in the loss.",
        wrong={
            "bits": Wrong(_floor_in_bits, "This is in bits: a bit is ln 2 nats."),
            "per text": Wrong(
                _floor_per_text,
                "This is the mean of one quotient per text. The loss is a mean over tokens: divide "
                "the sums.",
            ),
            "wrong way": Wrong(_floor_wrong_way, "There are fewer nats than bits: multiply."),
            "of a text": Wrong(_floor_of_a_text, "This is per text, and asked was per token."),
        },
    ),
    Exercise(
        name="pretraining.warmup_stable_decay",
        reference=_rate,
        inputs=_step,
        hint="Three pieces. In the last one the rate is proportional to total - step.",
        remark="A run with this schedule can go on from its stable part for as long as you like.",
        wrong={
            "from zero": Wrong(
                _rate_from_zero,
                "Your first step has rate 0: an update that changes nothing. Step 0 has one part "
                "of `warmup`.",
            ),
            "at once": Wrong(
                _rate_falling_at_once,
                "It falls right after the warm-up. It should stay, and fall in the last `decay` "
                "steps only.",
            ),
            "never": Wrong(_rate_never_falling, "It climbs and stays, and never falls."),
            "rising": Wrong(
                _rate_rising, "In the last part it climbs from 0. It should fall to 0."
            ),
        },
    ),
    Exercise(
        name="pretraining.adam_update",
        reference=_adam_update,
        inputs=_gradients,
        hint="Both running means begin at 0. After t steps divide each by 1 - beta**t, then take "
        "the root of the second.",
        remark="Multiply all gradients by 1,000: the update stays the same.",
        wrong={
            "uncorrected": Wrong(
                _adam_uncorrected,
                "The means begin at 0 and are too small at first: divide each by 1 - beta**t.",
            ),
            "sign": Wrong(_adam_sign, "The weight moves against the gradient: the sign."),
            "square": Wrong(
                _adam_square, "You divide by the mean of the squares. Divide by its root."
            ),
            "last": Wrong(
                _adam_of_the_last,
                "This is the first step of Adam, repeated with the last gradient. Both means "
                "remember the earlier ones.",
            ),
        },
    ),
    Exercise(
        name="pretraining.noise_scale",
        reference=_noise_scale,
        inputs=_lengths,
        hint="Two equations with two unknowns. Subtract one from the other: what is left holds the "
        "noise alone.",
        remark="With many devices both lengths are there for nothing: one device's gradient, and "
        "the mean of all.",
        rtol=1e-3,
        wrong={
            "signal of large": Wrong(
                _noise_signal_of_large,
                "The squared length of the large batch still holds noise: take its part away "
                "before you divide.",
            ),
            "without sizes": Wrong(
                _noise_without_sizes,
                "The difference is noise times (1 / small - 1 / large), so the sizes matter.",
            ),
            "inverted": Wrong(_noise_inverted, "This is signal over noise: turn it round."),
        },
    ),
    Exercise(
        name="pretraining.round_trip",
        reference=_round_trip,
        inputs=_blocks,
        hint="Give the blocks a row each. Compare each share with all 256 entries, and take the "
        "nearest; a scale of 0 must not divide.",
        remark="The book's own version finds the nearest by bisection, without 256 comparisons.",
        wrong={
            "one block": Wrong(
                _round_trip_one_block,
                "There is one scale for all numbers. Each block of `size` numbers has its own.",
            ),
            "largest": Wrong(
                _round_trip_largest,
                "The scale is the largest number. Where all are negative it is no scale: take the "
                "largest absolute value.",
            ),
            "down": Wrong(
                _round_trip_down,
                "Each number is rounded down to an entry. Take the nearest, above or below.",
            ),
            "unscaled": Wrong(
                _round_trip_unscaled, "These are the entries of the table: multiply by the scale."
            ),
            "zero": Wrong(
                _round_trip_divides_by_zero,
                "A block of zeros has the scale 0, and 0 / 0 is not a number.",
            ),
        },
    ),
)
