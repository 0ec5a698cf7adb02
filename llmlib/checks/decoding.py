"""Exercises of the chapter on decoding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- penalise -----------------------------------------------------------------------------------


def _penalise(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    weaker = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, weaker, logits)


def _penalise_by_division(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    return torch.where(seen, logits / penalty, logits)


def _penalise_all(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    return torch.where(logits > 0, logits / penalty, logits * penalty)


def _penalise_the_new(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    return _penalise(logits, ~seen, penalty)


def _logits_and_seen(g: Generator) -> tuple[Tensor, Tensor, float]:
    size = draw.integer(g, 5, 9)
    logits = draw.normal(g, size) * 2
    logits[:2] = torch.tensor([1.5, -1.5])  # one of each sign is always seen, and one is not
    seen = draw.mask(g, size)
    seen[:3] = torch.tensor([True, True, False])
    return logits, seen, 1.2 + draw.integer(g, 0, 8) / 10


# --- keep_top_p ---------------------------------------------------------------------------------


def _keep_top_p(
    probabilities: Tensor, p: float, *, boundary: bool = True, scaled: bool = True
) -> Tensor:
    """The nucleus of one distribution; the keywords make the known mistakes."""
    ordered, order = probabilities.sort(descending=True)
    mass = ordered.cumsum(0) - (ordered if boundary else 0.0)  # mass before each token
    keep = torch.zeros_like(probabilities, dtype=torch.bool)
    keep[order] = mass < p
    kept = probabilities * keep
    return kept / kept.sum() if scaled else kept


def _keep_above(probabilities: Tensor, p: float) -> Tensor:
    kept = probabilities * (probabilities >= p * probabilities.max())
    return kept / kept.sum()


def _keep_least(probabilities: Tensor, p: float) -> Tensor:
    ordered, order = probabilities.sort()
    keep = torch.zeros_like(probabilities, dtype=torch.bool)
    keep[order] = ordered.cumsum(0) - ordered < p
    kept = probabilities * keep
    return kept / kept.sum()


def _keep_without_scattering_back(probabilities: Tensor, p: float) -> Tensor:
    ordered = probabilities.sort(descending=True).values
    kept = ordered * (ordered.cumsum(0) - ordered < p)
    return kept / kept.sum()


def _distribution_and_mass(g: Generator) -> tuple[Tensor, float]:
    size = draw.integer(g, 6, 9)
    return (draw.normal(g, size) * 1.5).softmax(0), 0.75 + draw.integer(g, 0, 9) / 50


# --- after_stop ---------------------------------------------------------------------------------


def _pad_after_stop(ids: Tensor, stop_id: int, pad_id: int) -> Tensor:
    stopped = (ids == stop_id).cumsum(dim=1) - (ids == stop_id).long()  # stops before each place
    return ids.masked_fill(stopped > 0, pad_id)


def _pad_from_stop(ids: Tensor, stop_id: int, pad_id: int) -> Tensor:
    return ids.masked_fill((ids == stop_id).cumsum(dim=1) > 0, pad_id)


def _pad_only_stops(ids: Tensor, stop_id: int, pad_id: int) -> Tensor:
    return ids.masked_fill(ids == stop_id, pad_id)


def _pad_after_last_stop(ids: Tensor, stop_id: int, pad_id: int) -> Tensor:
    is_stop = ids == stop_id
    later = is_stop.flip(1).cumsum(dim=1).flip(1) > 0  # a stop stands here or further on
    return ids.masked_fill(~later & is_stop.any(dim=1, keepdim=True), pad_id)


def _written_rows(g: Generator) -> tuple[Tensor, int, int]:
    """No stop in the last row, two in the first."""
    ids = 2 + draw.tokens(g, draw.integer(g, 3, 5), draw.integer(g, 7, 9), vocab_size=6)
    first = draw.integer(g, 1, 3)
    ids[0, [first, first + 2]] = 1
    ids[1, draw.integer(g, 0, 5)] = 1
    return ids, 1, 0


# --- temperature_for_entropy --------------------------------------------------------------------


def _entropy(logits: Tensor, temperature: float) -> float:
    p = (logits.double() / temperature).softmax(0)
    return float(torch.special.entr(p).sum())


def _temperature_for_entropy(
    logits: Tensor, entropy: float, *, measure: Callable[[Tensor, float], float] = _entropy
) -> float:
    low, high = 1e-3, 1e3
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if measure(logits, middle) < entropy else (low, middle)
    return (low * high) ** 0.5


def _entropy_in_bits(logits: Tensor, temperature: float) -> float:
    return _entropy(logits, temperature) / float(torch.tensor(2.0).log())


def _inverse_temperature(logits: Tensor, entropy: float) -> float:
    return 1 / _temperature_for_entropy(logits, entropy)


def _temperature_by_proportion(logits: Tensor, entropy: float) -> float:
    return entropy / _entropy(logits, 1.0)


def _logits_and_entropy(g: Generator) -> tuple[Tensor, float]:
    logits = draw.normal(g, draw.integer(g, 4, 9)) * 2
    share = 0.3 + draw.integer(g, 0, 10) / 20  # of the largest entropy there is
    return logits, share * float(torch.tensor(float(len(logits))).log())


# --- beam_search --------------------------------------------------------------------------------


def _beam_search(
    log_probs: Tensor,
    width: int,
    alpha: float,
    *,
    normalise: bool = True,
    stops: bool = True,
    greedy: bool = False,
) -> list[int]:
    """Best text of at most 6 tokens, from token 0 to token 1; the keywords make mistakes."""

    def rank(text: list[int], score: float) -> float:
        return score / len(text) ** alpha if normalise else score

    width = 1 if greedy else width
    running: list[tuple[list[int], float]] = [([], 0.0)]
    ended: list[tuple[list[int], float]] = []
    for step in range(6):
        candidates = [
            ([*text, token], score + float(log_probs[text[-1] if text else 0, token]))
            for text, score in running
            for token in range(len(log_probs))
        ]
        best = sorted(candidates, key=lambda one: -one[1])
        stopped = [step == 5 or (stops and text[-1] == 1) for text, _ in best]
        ended += [one for one, over in zip(best[:width], stopped, strict=False) if over]
        running = [one for one, over in zip(best, stopped, strict=True) if not over][:width]
    return max(ended, key=lambda one: rank(*one))[0]


def _first_token_left_out(log_probs: Tensor, width: int, alpha: float) -> list[int]:
    return _beam_search(log_probs, width, alpha)[1:]


def _bigrams(g: Generator) -> tuple[Tensor, int, float]:
    size = draw.integer(g, 4, 6)
    logits = draw.normal(g, size, size) * 1.5
    logits[:, 0] = -20.0  # nothing goes back to the start
    logits[0, 1] = -3.0  # and few texts are empty
    return logits.log_softmax(-1), draw.integer(g, 2, 3), 1.0


EXERCISES = (
    Choice(
        name="decoding.predict_hot",
        right="a",
        why={
            "a": "Top-k counts places. A temperature does not change the order of the tokens, so "
            "the same k stay.",
            "b": "A hot distribution is flat, so it takes more tokens until their mass is p.",
            "c": "A token stays if its ratio to the best one is at least m. At temperature 2 that "
            "ratio is the square root of what it was, which is larger: more tokens stay.",
            "d": "It falls. The order is kept, but the best token loses its lead.",
        },
        hint="Ask what each compares: places in the order, a sum, a ratio, or a probability.",
    ),
    Exercise(
        name="decoding.penalise",
        reference=_penalise,
        inputs=_logits_and_seen,
        hint="Weaker means a smaller logit. Which operation makes a negative number smaller?",
        remark="Every token that was seen has a smaller logit now, and no other has moved.",
        wrong={
            "division": Wrong(
                _penalise_by_division,
                "You divided all logits that were seen. A negative logit divided by 1.5 is nearer "
                "to 0, so that token became more probable.",
            ),
            "all tokens": Wrong(
                _penalise_all, "You punished every token, also those that were not seen."
            ),
            "the new ones": Wrong(
                _penalise_the_new, "You punished what was not seen, and let the rest repeat."
            ),
        },
    ),
    Exercise(
        name="decoding.keep_top_p",
        reference=_keep_top_p,
        inputs=_distribution_and_mass,
        hint="A token stays if the mass of all tokens before it is still below p.",
        remark="The token that crosses the line stays, so the kept mass is at least p.",
        wrong={
            "boundary dropped": Wrong(
                partial(_keep_top_p, boundary=False),
                "You dropped the token that crosses the line: what stays has less than p, and "
                "nothing is left where the first token alone has more than p.",
            ),
            "not scaled": Wrong(
                partial(_keep_top_p, scaled=False),
                "The right tokens, but what is left sums to less than 1: divide by its sum.",
            ),
            "min-p": Wrong(
                _keep_above, "You compared each token with the best one, which is min-p."
            ),
            "least first": Wrong(
                _keep_least, "You collected the mass from the least probable token upwards."
            ),
            "sorted": Wrong(
                _keep_without_scattering_back,
                "These are the right numbers in sorted order: put each back to its own token.",
            ),
        },
    ),
    Exercise(
        name="decoding.pad_after_stop",
        reference=_pad_after_stop,
        inputs=_written_rows,
        hint="Count the stops before each place: cumsum along the row, less the place itself.",
        remark="The first stop stays, what was written after it is gone.",
        wrong={
            "stop removed": Wrong(
                _pad_from_stop, "You removed the stop token too. The text ends with it."
            ),
            "only the stops": Wrong(
                _pad_only_stops, "You replaced the stops and kept what was written after them."
            ),
            "after the last": Wrong(
                _pad_after_last_stop,
                "You cut after the last stop of a row. A text ends with its first.",
            ),
        },
    ),
    Exercise(
        name="decoding.temperature_for_entropy",
        reference=_temperature_for_entropy,
        inputs=_logits_and_entropy,
        rtol=1e-3,
        hint="The entropy only ever rises with the temperature, so you may halve an interval.",
        remark="One number that means the same for a sharp and for a flat model.",
        wrong={
            "bits": Wrong(
                partial(_temperature_for_entropy, measure=_entropy_in_bits),
                "You measured the entropy in bits. The book counts in nats: use ln.",
            ),
            "inverse": Wrong(
                _inverse_temperature, "This is 1 / T: divide the logits by T, do not multiply."
            ),
            "proportion": Wrong(
                _temperature_by_proportion,
                "You scaled the temperature in proportion to the entropy, but the entropy does "
                "not grow in proportion to T: search for the T that fits.",
            ),
        },
    ),
    Exercise(
        name="decoding.beam_search",
        reference=_beam_search,
        inputs=_bigrams,
        hint="Rank what runs by its plain sum, and only what has ended by sum / length ** alpha.",
        remark="Width 1 is greedy search, and a width of all texts would be exhaustive.",
        wrong={
            "not normalised": Wrong(
                partial(_beam_search, normalise=False),
                "You compared plain sums of texts that differ in length; alpha is not used.",
            ),
            "stop ignored": Wrong(
                partial(_beam_search, stops=False),
                "Your texts go on after token 1, which ends a text.",
            ),
            "greedy": Wrong(
                partial(_beam_search, greedy=True), "Only one text runs: this is greedy search."
            ),
            "first token left out": Wrong(
                _first_token_left_out, "Return all tokens after the start; the first is missing."
            ),
        },
    ),
)
