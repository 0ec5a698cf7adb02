"""Exercises of the chapter on BERT."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]

CLS, SEP, MASK = 2, 3, 4
VOCAB = 30


def _pack(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
    ids = [CLS, *first, SEP, *second, SEP]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def _pack_without_last(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
    ids, segments = _pack(first, second)
    return ids[:-1], segments[:-1]


def _pack_middle_in_second(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
    return _pack(first, second)[0], [0] * (len(first) + 1) + [1] * (len(second) + 2)


def _pack_one_segment(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
    ids = _pack(first, second)[0]
    return ids, [0] * len(ids)


def _two_texts(g: Generator) -> tuple[list[int], list[int]]:
    first, second = (draw.tokens(g, draw.integer(g, 2, 6), vocab_size=20) + 5 for _ in range(2))
    return first.tolist(), second.tolist()


def _mask_with(
    ids: Tensor,
    chance: Tensor,
    action: Tensor,
    stand_in: Tensor,
    *,
    spare_special: bool = True,
    targets_everywhere: bool = False,
    only_changed: bool = False,
    random_from: float = 0.8,
) -> tuple[Tensor, Tensor]:
    """BERT's masking; the keywords make the known mistakes."""
    chosen = chance < 0.15
    if spare_special:
        chosen = chosen & (ids > MASK)
    inputs = torch.where(chosen & (action < 0.8), MASK, ids)
    inputs = torch.where(chosen & (action >= random_from) & (action < 0.9), stand_in, inputs)
    asked = chosen & (action < 0.9) if only_changed else chosen
    return inputs, ids if targets_everywhere else torch.where(asked, ids, -100)


def _text_and_draws(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    length = draw.integer(g, 40, 50)
    ids = draw.tokens(g, 4, length, vocab_size=VOCAB - 5) + 5
    ids[:, 0], ids[:, length // 2], ids[:, -1] = CLS, SEP, 0
    chance = draw.uniform(g, 4, length, high=0.4)
    chance[:, 0] = 0.0  # a special token that is drawn, so that sparing it matters
    return ids, chance, draw.uniform(g, 4, length), draw.tokens(g, 4, length, vocab_size=VOCAB)


def _masked_loss(logits: Tensor, ids: Tensor, chosen: Tensor) -> Tensor:
    return F.cross_entropy(logits[chosen], ids[chosen])


def _loss_everywhere(logits: Tensor, ids: Tensor, chosen: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten())


def _loss_over_all_places(logits: Tensor, ids: Tensor, chosen: Tensor) -> Tensor:
    return _masked_loss(logits, ids, chosen) * chosen.sum() / chosen.numel()


def _loss_summed(logits: Tensor, ids: Tensor, chosen: Tensor) -> Tensor:
    return F.cross_entropy(logits[chosen], ids[chosen], reduction="sum")


def _loss_per_text(logits: Tensor, ids: Tensor, chosen: Tensor) -> Tensor:
    rows = zip(logits, ids, chosen, strict=True)
    return torch.stack([F.cross_entropy(z[c], y[c]) for z, y, c in rows]).mean()


def _scores_and_choice(g: Generator) -> tuple[Tensor, Tensor, Tensor]:
    texts, length = draw.integer(g, 2, 3), draw.integer(g, 6, 9)
    chosen = draw.mask(g, texts, length, share=0.3)
    chosen[0], chosen[0, :3] = False, True  # rows with different numbers of gaps
    chosen[1], chosen[1, 0] = False, True
    logits = draw.normal(g, texts, length, VOCAB) * 2
    return logits, draw.tokens(g, texts, length, vocab_size=VOCAB), chosen


def _albert_weights(V: int, E: int, D: int, F: int, N: int) -> int:
    return V * E + E * D + 4 * D * D + 2 * D * F


def _bert_weights(V: int, E: int, D: int, F: int, N: int) -> int:
    return V * D + N * (4 * D * D + 2 * D * F)


def _unshared_weights(V: int, E: int, D: int, F: int, N: int) -> int:
    return V * E + E * D + N * (4 * D * D + 2 * D * F)


def _weights_without_widening(V: int, E: int, D: int, F: int, N: int) -> int:
    return _albert_weights(V, E, D, F, N) - E * D


def _model_sizes(g: Generator) -> tuple[int, int, int, int, int]:
    dim = 64 * draw.integer(g, 2, 16)
    layers = draw.integer(g, 2, 24)
    return draw.integer(g, 5000, 50000), 64, dim, 4 * dim, layers


def _pseudo_log_likelihood(model: Callable[[Tensor], Tensor], ids: Tensor, mask_id: int) -> Tensor:
    total = torch.zeros(())
    for place, token in enumerate(ids):
        hidden = ids.clone()
        hidden[place] = mask_id
        total = total + model(hidden[None])[0, place].log_softmax(-1)[token]
    return total


def _nothing_hidden(model: Callable[[Tensor], Tensor], ids: Tensor, mask_id: int) -> Tensor:
    logp = model(ids[None])[0].log_softmax(-1)
    return logp.gather(1, ids[:, None]).sum()


def _everything_hidden(model: Callable[[Tensor], Tensor], ids: Tensor, mask_id: int) -> Tensor:
    logp = model(torch.full_like(ids, mask_id)[None])[0].log_softmax(-1)
    return logp.gather(1, ids[:, None]).sum()


def _left_hidden(model: Callable[[Tensor], Tensor], ids: Tensor, mask_id: int) -> Tensor:
    total, hidden = torch.zeros(()), ids.clone()
    for place, token in enumerate(ids):
        hidden[place] = mask_id
        total = total + model(hidden[None])[0, place].log_softmax(-1)[token]
    return total


def _reader_and_text(g: Generator) -> tuple[Callable[[Tensor], Tensor], Tensor, int]:
    vectors, out = draw.normal(g, VOCAB, 8), draw.normal(g, 8, VOCAB)

    def model(ids: Tensor) -> Tensor:  # each place reads itself, and a little of all others
        x = vectors[ids]
        return (x + torch.tanh(x.sum(1, keepdim=True))) @ out

    return model, draw.tokens(g, draw.integer(g, 4, 7), vocab_size=VOCAB - 5) + 5, MASK


EXERCISES = (
    Exercise(
        name="bert.pack",
        reference=_pack,
        inputs=_two_texts,
        hint="Write the ids of a two-word and a one-word text on paper, and a 0 or 1 below each.",
        remark="As many segments as ids, and each [SEP] belongs to the text that it closes.",
        wrong={
            "no last separator": Wrong(
                _pack_without_last, "Each text is closed by a [SEP], the second one too."
            ),
            "separator in the second": Wrong(
                _pack_middle_in_second,
                "The [SEP] in the middle closes the first text, so its segment is 0.",
            ),
            "one segment": Wrong(
                _pack_one_segment,
                "All segments are 0: the model could not tell which text a token belongs to.",
            ),
        },
    ),
    Choice(
        name="bert.predict_masked",
        right="b",
        why={
            "a": "150 are chosen, but only 80% of these become [MASK].",
            "b": "0.15 · 0.8 · 1000 = 120 read [MASK]; 15 more are random and 15 look as before.",
            "c": "135 are hidden or replaced: this counts the random tokens too.",
            "d": "80% is the share of the chosen tokens, and only 15% are chosen.",
        },
        hint="Two probabilities, one after the other.",
    ),
    Exercise(
        name="bert.mask_tokens",
        reference=_mask_with,
        inputs=_text_and_draws,
        hint="Decide `chosen` first, the special tokens excluded; then inputs and targets follow "
        "from torch.where.",
        remark="The same decisions for a whole batch, with no loop.",
        wrong={
            "special tokens": Wrong(
                partial(_mask_with, spare_special=False),
                "You hide special tokens too. Ids 0 to 4 are never chosen.",
            ),
            "targets everywhere": Wrong(
                partial(_mask_with, targets_everywhere=True),
                "Your targets hold the token at every place, so the model is paid for copying. "
                "Write -100 where nothing was chosen.",
            ),
            "unchanged not asked": Wrong(
                partial(_mask_with, only_changed=True),
                "A chosen token that stays as it is has a target as well: all chosen ones do.",
            ),
            "random overrides": Wrong(
                partial(_mask_with, random_from=0.0),
                "Your random tokens overwrite the [MASK]s: they are for actions from 0.8 to 0.9.",
            ),
        },
    ),
    Exercise(
        name="bert.masked_loss",
        reference=_masked_loss,
        inputs=_scores_and_choice,
        hint="A boolean mask picks the rows of both tensors; then it is plain cross-entropy.",
        remark="The same as targets of -100 with ignore_index.",
        wrong={
            "everywhere": Wrong(
                _loss_everywhere,
                "You count every place. Visible tokens are not asked for: only chosen ones count.",
            ),
            "divided by all places": Wrong(
                _loss_over_all_places,
                "The sum is right, but you divided by the number of all places, not of the "
                "chosen ones.",
            ),
            "sum": Wrong(_loss_summed, "This is the sum. Divide by the number of chosen places."),
            "mean of means": Wrong(
                _loss_per_text,
                "You averaged each text first, so that a gap in a text with few gaps counts more.",
            ),
        },
    ),
    Exercise(
        name="bert.albert_weights",
        reference=_albert_weights,
        inputs=_model_sizes,
        hint="Four square matrices and two of the feed-forward part make a block. How many "
        "different blocks are there?",
        remark="The depth N does not occur: it costs time, but no weights.",
        wrong={
            "bert": Wrong(
                _bert_weights, "This is BERT: neither is the embedding factorised nor one shared."
            ),
            "not shared": Wrong(
                _unshared_weights, "You counted every block. They are one and the same block."
            ),
            "no widening": Wrong(
                _weights_without_widening,
                "The matrix that widens a vector from E to D is missing.",
            ),
        },
    ),
    Exercise(
        name="bert.pseudo_log_likelihood",
        reference=_pseudo_log_likelihood,
        inputs=_reader_and_text,
        hint="One copy of the text for each place, with that one place hidden.",
        remark="It scores a text with a model that cannot write one.",
        wrong={
            "nothing hidden": Wrong(
                _nothing_hidden, "Nothing is hidden: the model reads off the word it is asked for."
            ),
            "everything hidden": Wrong(
                _everything_hidden, "All places are hidden at once, so there is no context left."
            ),
            "stays hidden": Wrong(
                _left_hidden,
                "The places that you hid before are hidden still. Start from the text each time.",
            ),
        },
    ),
)
