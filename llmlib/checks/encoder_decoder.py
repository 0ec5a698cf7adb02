"""Exercises of the chapter on the encoder-decoder Transformer."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


def _decoder_input(targets: Tensor, start_id: int) -> Tensor:
    start = targets.new_full((targets.shape[0], 1), start_id)
    return torch.cat([start, targets[:, :-1]], dim=1)


def _shifted_left(targets: Tensor, start_id: int) -> Tensor:
    start = targets.new_full((targets.shape[0], 1), start_id)
    return torch.cat([targets[:, 1:], start], dim=1)


def _one_too_long(targets: Tensor, start_id: int) -> Tensor:
    start = targets.new_full((targets.shape[0], 1), start_id)
    return torch.cat([start, targets], dim=1)


def _rolled(targets: Tensor, start_id: int) -> Tensor:
    return targets.roll(1, dims=1)


def _targets(g: Generator) -> tuple[Tensor, int]:
    rows, length = draw.integer(g, 2, 4), draw.integer(g, 4, 7)
    return 2 + draw.tokens(g, rows, length, vocab_size=50), draw.integer(g, 0, 1)


def _cross_mask(lengths: Tensor, source_len: int, target_len: int) -> Tensor:
    real = torch.arange(source_len) < lengths[:, None]  # (B, S)
    return real[:, None, None, :].expand(-1, -1, target_len, -1)


def _cross_mask_and_causal(lengths: Tensor, source_len: int, target_len: int) -> Tensor:
    causal = torch.ones(target_len, source_len, dtype=torch.bool).tril()
    return _cross_mask(lengths, source_len, target_len) & causal


def _cross_mask_inverted(lengths: Tensor, source_len: int, target_len: int) -> Tensor:
    return ~_cross_mask(lengths, source_len, target_len)


def _cross_mask_of_queries(lengths: Tensor, source_len: int, target_len: int) -> Tensor:
    real = torch.arange(target_len) < lengths[:, None]  # (B, T)
    return real[:, None, :, None].expand(-1, -1, -1, source_len)


def _source_sizes(g: Generator) -> tuple[Tensor, int, int]:
    source_len, target_len = draw.integer(g, 4, 6), draw.integer(g, 7, 9)
    lengths = torch.randint(1, source_len, (3,), generator=g)
    return lengths, source_len, target_len


def _smoothed(log_probs: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    right = F.nll_loss(log_probs, targets)
    return (1 - epsilon) * right - epsilon * log_probs.mean()


def _smoothed_over_others(log_probs: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    right = log_probs[torch.arange(len(targets)), targets]  # (n,)
    others = (log_probs.sum(-1) - right) / (log_probs.shape[-1] - 1)
    return -((1 - epsilon) * right + epsilon * others).mean()


def _not_smoothed(log_probs: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    return F.nll_loss(log_probs, targets)


def _smoothing_summed(log_probs: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    right = F.nll_loss(log_probs, targets)
    return (1 - epsilon) * right - epsilon * log_probs.sum(-1).mean()


def _log_probabilities(g: Generator) -> tuple[Tensor, Tensor, float]:
    rows, vocab_size = draw.integer(g, 3, 6), draw.integer(g, 5, 9)
    log_probs = draw.normal(g, rows, vocab_size).mul(2).log_softmax(-1)
    targets = draw.tokens(g, rows, vocab_size=vocab_size)
    return log_probs, targets, draw.integer(g, 1, 4) / 10


def _alignment_accuracy(
    weights: Tensor, links: list[tuple[int, int]], *, every: bool = False, first_only: bool = False
) -> float:
    partners: dict[int, set[int]] = {}
    for source, target in links:
        partners.setdefault(target, set()).add(source)
    best = weights.argmax(dim=-1).tolist()
    if first_only:
        right = [best[j] == min(sources) for j, sources in partners.items()]
    else:
        right = [best[j] in sources for j, sources in partners.items()]
    return sum(right) / (len(weights) if every else len(right))


def _aligned_by_columns(weights: Tensor, links: list[tuple[int, int]]) -> float:
    partners: dict[int, set[int]] = {}
    for source, target in links:
        partners.setdefault(source, set()).add(target)
    best = weights.argmax(dim=0).tolist()
    return sum(best[i] in targets for i, targets in partners.items()) / len(partners)


def _map_and_links(g: Generator) -> tuple[Tensor, list[tuple[int, int]]]:
    target_len, source_len = draw.integer(g, 8, 11), draw.integer(g, 5, 7)
    weights = draw.normal(g, target_len, source_len).mul(2).softmax(-1)
    linked = torch.randperm(target_len, generator=g)[: target_len - 2].tolist()
    best = weights.argmax(-1).tolist()
    links = []
    for number, target in enumerate(sorted(linked)):
        # Every other link is where the map is largest; a third of the targets have two partners.
        source = best[target] if number % 2 else draw.integer(g, 0, source_len - 2)
        links.append((source, target))
        if number % 3 == 0:
            links.append(((source + 1) % source_len, target))
    return weights, links


EXERCISES = (
    Exercise(
        name="encoder_decoder.decoder_input",
        reference=_decoder_input,
        inputs=_targets,
        hint="Place 0 holds the start token, place t the target of place t - 1.",
        remark="At every place the decoder now reads what came before the token it has to write.",
        wrong={
            "not shifted": Wrong(
                lambda targets, start_id: targets,
                "These are the targets themselves: the decoder would read the token that it is "
                "asked for.",
            ),
            "shifted left": Wrong(
                _shifted_left,
                "You shifted to the left: place t now holds the token after its target.",
            ),
            "one too long": Wrong(
                _one_too_long,
                "The start token is there, but so is the last target: nothing comes after it, and "
                "there would be one logit more than targets.",
            ),
            "rolled": Wrong(
                _rolled,
                "The last token has come round to the front, where the start token belongs.",
            ),
        },
    ),
    Choice(
        name="encoder_decoder.predict_source_change",
        right="b",
        why={
            "a": "The causal mask is for the decoder's own attention. The source is read through "
            "the cross-attention, which has no such mask.",
            "b": "The encoder reads in both directions, so every vector of the memory may change, "
            "and every place of the decoder reads all of the memory.",
            "c": "Weights of a softmax are never zero: a word hardly looked at still counts a "
            "little. And the encoder has carried it into the vectors of its neighbours.",
            "d": "The word is no padding, so no mask hides it.",
        },
        hint="Follow the changed word through the encoder first, then into the cross-attention.",
    ),
    Exercise(
        name="encoder_decoder.cross_mask",
        reference=_cross_mask,
        inputs=_source_sizes,
        hint="Compare arange(S) with the lengths: (B, S). Then give it axes for heads and queries.",
        remark="Every query may read the same words of its source, and none of the padding.",
        wrong={
            "causal": Wrong(
                _cross_mask_and_causal,
                "You also hid later source words. The whole source is known from the start: only "
                "its padding is hidden.",
            ),
            "inverted": Wrong(
                _cross_mask_inverted,
                "This shows the padding and hides the words: True means 'may attend'.",
            ),
            "queries": Wrong(
                _cross_mask_of_queries,
                "You masked rows, the queries. Padding of the source is among the keys: columns.",
            ),
        },
    ),
    Exercise(
        name="encoder_decoder.smoothed_loss",
        reference=_smoothed,
        inputs=_log_probabilities,
        hint="The right token gets 1 - ε and its share of the ε that all V tokens divide equally.",
        remark="This is label_smoothing of torch.nn.functional.cross_entropy.",
        wrong={
            "not smoothed": Wrong(
                _not_smoothed, "This is the plain cross-entropy: ε has no effect."
            ),
            "others only": Wrong(
                _smoothed_over_others,
                "You divided ε among the V - 1 other tokens. PyTorch divides it among all V, the "
                "right one included.",
            ),
            "summed": Wrong(
                _smoothing_summed,
                "You gave ε to every token. It is divided among the V of them.",
            ),
        },
    ),
    Exercise(
        name="encoder_decoder.alignment_accuracy",
        reference=_alignment_accuracy,
        inputs=_map_and_links,
        hint="Collect the partners of every target first; then look at the largest weight of its "
        "row.",
        wrong={
            "all rows": Wrong(
                partial(_alignment_accuracy, every=True),
                "You divided by all target tokens. Those without a partner cannot be right or "
                "wrong.",
            ),
            "one partner": Wrong(
                partial(_alignment_accuracy, first_only=True),
                "You compared with the first partner only. A token may have several, and any of "
                "them is right.",
            ),
            "columns": Wrong(
                _aligned_by_columns,
                "You took the largest weight of every column. A row is a query, and the target "
                "asks.",
            ),
        },
    ),
)
