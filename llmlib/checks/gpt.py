"""Exercises of the chapter on GPT."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


def _padded_loss(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    targets = ids[:, 1:].masked_fill(~real[:, 1:], -100)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten())


def _loss_of_padding_too(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    return _padded_loss(logits, ids, torch.ones_like(real))


def _unshifted_loss(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), ids.masked_fill(~real, -100).flatten())


def _shifted_the_other_way(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    targets = ids[:, :-1].masked_fill(~real[:, :-1], -100)
    return F.cross_entropy(logits[:, 1:].flatten(0, 1), targets.flatten())


def _divided_by_everything(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    share = real[:, 1:].to(logits.dtype).mean()
    return _padded_loss(logits, ids, real) * share


def _masked_by_the_input(logits: Tensor, ids: Tensor, real: Tensor) -> Tensor:
    targets = ids[:, 1:].masked_fill(~real[:, :-1], -100)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten())


def _padded_batch(g: Generator) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, vocab = draw.integer(g, 2, 4), draw.integer(g, 6, 9), draw.integer(g, 5, 9)
    lengths = torch.randint(2, length, (batch, 1), generator=g)  # every text ends in padding
    real = torch.arange(length) < lengths
    ids = draw.tokens(g, batch, length, vocab_size=vocab)
    return draw.normal(g, batch, length, vocab), ids, real


def _count(
    V: int, T: int, D: int, N: int, F: int, *, tied: bool = False, biases: bool = True
) -> int:
    matrices = (1 if tied else 2) * V * D + T * D + N * (4 * D * D + 2 * D * F)
    norms = (2 * N + 1) * 2 * D
    return matrices + norms + (N * (4 * D + F + D) if biases else 0)


def _count_tied(V: int, T: int, D: int, N: int, F: int) -> int:
    return _count(V, T, D, N, F, tied=True)


def _count_without_biases(V: int, T: int, D: int, N: int, F: int) -> int:
    return _count(V, T, D, N, F, biases=False)


def _count_without_last_norm(V: int, T: int, D: int, N: int, F: int) -> int:
    return _count(V, T, D, N, F) - 2 * D


def _count_at_four_times_the_width(V: int, T: int, D: int, N: int, F: int) -> int:
    return _count(V, T, D, N, 4 * D)


def _sizes(g: Generator) -> tuple[int, ...]:
    vocab, context = draw.integer(g, 50, 999), draw.integer(g, 8, 99)
    dim, layers = draw.integer(g, 4, 64), draw.integer(g, 2, 12)
    return vocab, context, dim, layers, draw.integer(g, 5 * dim, 7 * dim)


def _answer_log_probability(logits: Tensor, ids: Tensor, prompt_length: int) -> Tensor:
    log_p = logits[prompt_length - 1 : -1].log_softmax(dim=-1)  # (A, V)
    return log_p.gather(1, ids[prompt_length:, None]).sum()


def _unshifted_answer(logits: Tensor, ids: Tensor, prompt_length: int) -> Tensor:
    log_p = logits[prompt_length:].log_softmax(dim=-1)
    return log_p.gather(1, ids[prompt_length:, None]).sum()


def _without_its_first_token(logits: Tensor, ids: Tensor, prompt_length: int) -> Tensor:
    return _answer_log_probability(logits, ids, prompt_length + 1)


def _whole_text(logits: Tensor, ids: Tensor, prompt_length: int) -> Tensor:
    return _answer_log_probability(logits, ids, 1)


def _sum_of_scores(logits: Tensor, ids: Tensor, prompt_length: int) -> Tensor:
    return logits[prompt_length - 1 : -1].gather(1, ids[prompt_length:, None]).sum()


def _mean_per_token(logits: Tensor, ids: Tensor, prompt_length: int) -> Tensor:
    return _answer_log_probability(logits, ids, prompt_length) / (len(ids) - prompt_length)


def _prompt_and_answer(g: Generator) -> tuple[Tensor, Tensor, int]:
    prompt, answer, vocab = draw.integer(g, 2, 5), draw.integer(g, 2, 4), draw.integer(g, 5, 9)
    ids = draw.tokens(g, prompt + answer, vocab_size=vocab)
    return draw.normal(g, prompt + answer, vocab), ids, prompt


def _predictive(prior: Tensor, likelihood: Tensor, answers: Tensor) -> Tensor:
    return (prior.log() + likelihood.log().sum(dim=0)).softmax(dim=0) @ answers


def _predictive_by_product(prior: Tensor, likelihood: Tensor, answers: Tensor) -> Tensor:
    belief = prior * likelihood.prod(dim=0)
    return belief / belief.sum() @ answers


def _predictive_without_prior(prior: Tensor, likelihood: Tensor, answers: Tensor) -> Tensor:
    return _predictive(torch.ones_like(prior), likelihood, answers)


def _predictive_of_the_best_rule(prior: Tensor, likelihood: Tensor, answers: Tensor) -> Tensor:
    return answers[(prior.log() + likelihood.log().sum(dim=0)).argmax()]


def _predictive_unnormalised(prior: Tensor, likelihood: Tensor, answers: Tensor) -> Tensor:
    return (prior * likelihood.prod(dim=0)) @ answers


def _examples_of_rules(g: Generator) -> tuple[Tensor, Tensor, Tensor]:
    rules, count = draw.integer(g, 2, 4), (0, 1, 2, 3, 500)[draw.integer(g, 0, 4)]
    prior = draw.normal(g, rules).softmax(dim=0)
    likelihood = draw.uniform(g, count, rules, low=0.05, high=0.95)
    answers = draw.normal(g, rules, draw.integer(g, 2, 5)).softmax(dim=-1)
    return prior, likelihood, answers


Model = Callable[[Tensor], Tensor]


def _long_log_probability(
    model: Model, ids: Tensor, context: int, stride: int, *, again: bool = False
) -> Tensor:
    """Each target judged once; with ``again``, by every window in which it is a target."""
    total, judged = torch.zeros(()), 1
    for start in range(0, len(ids), stride):
        window = ids[start : start + context]
        log_p = model(window).log_softmax(dim=-1)  # (T, V)
        first = start + 1 if again else judged
        for place in range(first, start + len(window)):
            total = total + log_p[place - start - 1, ids[place]]
        judged = start + len(window)
        if judged == len(ids):
            break
    return total


def _judged_again(model: Model, ids: Tensor, context: int, stride: int) -> Tensor:
    return _long_log_probability(model, ids, context, stride, again=True)


def _in_separate_pieces(model: Model, ids: Tensor, context: int, stride: int) -> Tensor:
    total = torch.zeros(())
    for piece in ids.split(context):
        log_p = model(piece)[:-1].log_softmax(dim=-1)
        total = total + log_p.gather(1, piece[1:, None]).sum()
    return total


def _beginning_only(model: Model, ids: Tensor, context: int, stride: int) -> Tensor:
    return _long_log_probability(model, ids[:context], context, context)


def _long_text(g: Generator) -> tuple[Model, Tensor, int, int]:
    vocab, context = draw.integer(g, 4, 7), draw.integer(g, 5, 8)
    table = draw.normal(g, vocab, vocab)

    def model(ids: Tensor) -> Tensor:
        """Scores that depend on all tokens so far, the nearest most."""
        if len(ids) > context:
            raise ValueError(f"{len(ids)} ids, but the context is {context}")
        logits, seen = [], torch.zeros(vocab)
        for token in ids:
            seen = 0.7 * seen + table[token]
            logits.append(seen)
        return torch.stack(logits)

    length = draw.integer(g, 2 * context, 4 * context)
    stride = draw.integer(g, 2, context - 1)
    return model, draw.tokens(g, length, vocab_size=vocab), context, stride


EXERCISES = (
    Choice(
        name="gpt.predict_double_shift",
        right="b",
        why={
            "a": "It would, if the targets were shifted once: by you or by the library.",
            "b": "Position t is judged by labels[t + 1], and that is ids[t + 2]: shifted twice.",
            "c": "Copying is learned without any shift. Here every target lies two places ahead.",
            "d": "Both shifts go the same way, towards later tokens.",
        },
        hint="Write down the input at position t, your label at t, and the label it is judged by.",
    ),
    Exercise(
        name="gpt.padded_loss",
        reference=_padded_loss,
        inputs=_padded_batch,
        hint="A place counts when its target is real. cross_entropy leaves out targets of -100.",
        remark="Texts of any length may share a batch, and the padding teaches nothing.",
        wrong={
            "padding counted": Wrong(
                _loss_of_padding_too,
                "Padding is counted too: the model would learn to write padding.",
            ),
            "not shifted": Wrong(
                _unshifted_loss,
                "Every token is judged as its own target: shift the ids by one.",
            ),
            "shifted back": Wrong(
                _shifted_the_other_way,
                "You shifted the other way: logits[:, t] speaks about ids[:, t + 1].",
            ),
            "mean over all": Wrong(
                _divided_by_everything,
                "You divided by all places. The mean is over the real targets only.",
            ),
            "mask of the input": Wrong(
                _masked_by_the_input,
                "You left out places whose input is padding. What matters is whether the target "
                "is: the last real token must not be taught to predict padding.",
            ),
        },
    ),
    Exercise(
        name="gpt.count_parameters",
        reference=_count,
        inputs=_sizes,
        hint="Go through the model: two tables, N blocks of four parts, a norm, the head.",
        wrong={
            "tied": Wrong(_count_tied, "You counted E once. Here the head is a matrix of its own."),
            "no biases": Wrong(
                _count_without_biases,
                "The biases are missing: one number per output of each linear layer in a block.",
            ),
            "last norm": Wrong(
                _count_without_last_norm, "The norm after the last block is missing."
            ),
            "4D": Wrong(
                _count_at_four_times_the_width,
                "You took 4D for the width of the feed-forward layer; it is F here.",
            ),
        },
    ),
    Exercise(
        name="gpt.answer_log_probability",
        reference=_answer_log_probability,
        inputs=_prompt_and_answer,
        hint="The first token of the answer is predicted by the last position of the prompt.",
        remark="This is how a base model takes a multiple-choice test.",
        wrong={
            "unshifted": Wrong(
                _unshifted_answer,
                "You read each token's probability at its own place: the scores for ids[t] stand "
                "at t - 1.",
            ),
            "first token": Wrong(
                _without_its_first_token,
                "The first token of the answer is missing. The last position of the prompt "
                "predicts it.",
            ),
            "whole text": Wrong(
                _whole_text, "You counted the prompt too. It is given, not predicted."
            ),
            "scores": Wrong(
                _sum_of_scores, "These are sums of logits: take log_softmax over the V axis first."
            ),
            "mean": Wrong(
                _mean_per_token,
                "This is the mean per token. The log-probability of the answer is the sum.",
            ),
        },
    ),
    Exercise(
        name="gpt.posterior_predictive",
        reference=_predictive,
        inputs=_examples_of_rules,
        hint="Sum logarithms over the examples, add that of the prior, and let softmax do the "
        "normalising.",
        remark="No weight moves here either: only the belief does.",
        wrong={
            "products": Wrong(
                _predictive_by_product,
                "Right for few examples. The product of 500 small numbers is 0 in float32: add "
                "logarithms.",
            ),
            "no prior": Wrong(
                _predictive_without_prior, "The prior is missing: not all rules are as likely."
            ),
            "best rule": Wrong(
                _predictive_of_the_best_rule,
                "You took the likeliest rule. The posterior predictive averages over all rules.",
            ),
            "unnormalised": Wrong(
                _predictive_unnormalised, "Divide the belief by its sum: it has to sum to 1."
            ),
        },
    ),
    Exercise(
        name="gpt.long_log_probability",
        reference=_long_log_probability,
        inputs=_long_text,
        hint="Remember up to which token all are judged; each window goes on from there.",
        remark="With a small stride every token sees a long past, and the model runs more often.",
        wrong={
            "judged again": Wrong(
                _judged_again,
                "Where windows overlap you count a token more than once.",
            ),
            "separate pieces": Wrong(
                _in_separate_pieces,
                "You cut the text into pieces. The first token of each piece is not judged, and "
                "the next ones have no past.",
            ),
            "beginning": Wrong(_beginning_only, "Only the first window is judged."),
        },
    ),
)
