"""Exercises of the chapter on proximal policy optimisation."""

from __future__ import annotations

from functools import partial

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- advantages ---------------------------------------------------------------------------------


def _advantages(
    rewards: Tensor,
    values: Tensor,
    gamma: float,
    lam: float,
    *,
    next_value: bool = True,
    decay: str = "both",
    minus_value: bool = True,
) -> Tensor:
    """From the last token to the first; the keywords make the known mistakes."""
    factor = {"both": gamma * lam, "gamma": gamma, "lambda": lam}[decay]
    found, following = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        after = values[t + 1] if next_value and t + 1 < len(values) else 0.0
        following = rewards[t] + gamma * after - minus_value * values[t] + factor * following
        found[t] = following
    return found


def _forwards(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    after = torch.cat((values[1:], torch.zeros(1)))
    errors = rewards + gamma * after - values
    found, before = [], 0.0
    for error in errors:
        before = error + gamma * lam * before
        found.append(before)
    return torch.stack(found)


def _returns(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    return _advantages(rewards, values, gamma, lam) + values


def _one_text(g: Generator) -> tuple[Tensor, Tensor, float, float]:
    length = draw.integer(g, 4, 7)
    rewards, values = draw.normal(g, length), draw.normal(g, length)
    return rewards, values, draw.integer(g, 5, 9) / 10, draw.integer(g, 3, 8) / 10


# --- clip_loss ----------------------------------------------------------------------------------


def _clip_loss(
    logps: Tensor, old_logps: Tensor, advantages: Tensor, clip: float, *, kind: str = "right"
) -> Tensor:
    """The loss of PPO; ``kind`` makes the known mistakes."""
    ratios = (logps - old_logps).exp()
    if kind == "no exp":
        ratios = logps - old_logps
    if kind == "quotient of logs":
        ratios = logps / old_logps
    plain, clipped = ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages
    gains = {"clipped only": clipped, "max": torch.maximum(plain, clipped)}.get(
        kind, torch.minimum(plain, clipped)
    )
    return gains.mean() if kind == "sign" else -gains.mean()


def _batch(g: Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    rows, length = draw.integer(g, 2, 4), draw.integer(g, 4, 6)
    old = -draw.uniform(g, rows, length, low=0.5, high=4.0)
    return old + draw.normal(g, rows, length), old, draw.normal(g, rows, length), 0.2


# --- token_rewards ------------------------------------------------------------------------------


def _token_rewards(
    score: float,
    logps: Tensor,
    ref_logps: Tensor,
    length: int,
    beta: float,
    *,
    sign: float = -1.0,
    place: str = "last",
    padding: bool = False,
) -> Tensor:
    """Penalty at every token, score at the last; the keywords make the known mistakes."""
    rewards = sign * beta * (logps - ref_logps)
    if not padding:
        rewards = rewards * (torch.arange(len(logps)) < length)
    if place == "everywhere":
        return rewards + score * (torch.arange(len(logps)) < length)
    rewards[{"last": length - 1, "column": -1, "first": 0}[place]] += score
    return rewards


def _padded_text(g: Generator) -> tuple[float, Tensor, Tensor, int, float]:
    length, room = draw.integer(g, 3, 5), draw.integer(g, 7, 9)
    logps, ref_logps = (-draw.uniform(g, room, low=0.1, high=3.0) for _ in range(2))
    return float(draw.normal(g, 1)), logps, ref_logps, length, draw.integer(g, 1, 5) / 10


# --- best_policy --------------------------------------------------------------------------------


def _best_policy(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    return (reference.log() + rewards / beta).softmax(-1)


def _not_normalised(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    return reference * (rewards / beta).exp()


def _without_reference(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    return (rewards / beta).softmax(-1)


def _times_beta(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    return (reference.log() + rewards * beta).softmax(-1)


def _greedy(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    return torch.nn.functional.one_hot(rewards.argmax(), len(rewards)).float()


def _reference_twice(reference: Tensor, rewards: Tensor, beta: float) -> Tensor:
    return (reference + rewards / beta).softmax(-1)


def _few_texts(g: Generator) -> tuple[Tensor, Tensor, float]:
    count = draw.integer(g, 3, 6)
    reference = (1.5 * draw.normal(g, count)).softmax(-1)
    return reference, 2 * draw.normal(g, count), draw.integer(g, 3, 8) / 10


# --- bytes_needed -------------------------------------------------------------------------------


def _bytes_needed(policy: int, reward: int, frozen: int, trained: int) -> int:
    return policy * (trained + frozen) + reward * (trained + frozen)


def _all_trained(policy: int, reward: int, frozen: int, trained: int) -> int:
    return 2 * (policy + reward) * trained


def _policy_trained_only(policy: int, reward: int, frozen: int, trained: int) -> int:
    return policy * (trained + frozen) + 2 * reward * frozen


def _no_value(policy: int, reward: int, frozen: int, trained: int) -> int:
    return policy * (trained + frozen) + reward * frozen


def _value_like_policy(policy: int, reward: int, frozen: int, trained: int) -> int:
    return 2 * policy * trained + (policy + reward) * frozen


def _sizes(g: Generator) -> tuple[int, int, int, int]:
    return 10**6 * draw.integer(g, 20, 70), 10**6 * draw.integer(g, 3, 15), 2, 16


EXERCISES = (
    Choice(
        name="ppo.predict_clip",
        right="b",
        why={
            "a": "The clip holds a token back only when it has already gone far in the direction "
            "that its advantage asks for. This one went the wrong way.",
            "b": "The token is bad and has become 1.4 times as likely. min takes -1.4, the lower "
            "of -1.4 and -1.2, and its gradient makes the token rarer: there is work to do.",
            "c": "A gradient that made a bad token likelier would be a wrong sign.",
            "d": "The advantage is -1, not 0, so the token has something to say.",
        },
        hint="Write down both arguments of min for this token, and see which one it takes.",
    ),
    Exercise(
        name="ppo.advantages",
        reference=_advantages,
        inputs=_one_text,
        hint="Go from the last token to the first, and keep the advantage of the one behind.",
        remark="One pass from the end: no sum is computed twice.",
        wrong={
            "no next value": Wrong(
                partial(_advantages, next_value=False),
                "The value of the next token is missing: what a token earns is its reward and "
                "what can still be expected behind it.",
            ),
            "gamma only": Wrong(
                partial(_advantages, decay="gamma"),
                "You went back with gamma alone. This is lambda = 1, whatever lambda is.",
            ),
            "lambda only": Wrong(
                partial(_advantages, decay="lambda"),
                "You went back with lambda alone: an error one step later counts gamma times "
                "lambda.",
            ),
            "no baseline": Wrong(
                partial(_advantages, minus_value=False),
                "You did not take away the value of the token itself: an advantage is better or "
                "worse than expected.",
            ),
            "forwards": Wrong(
                _forwards, "You summed over earlier tokens. A token answers for what comes later."
            ),
            "returns": Wrong(_returns, "These are the returns: the values are still in them."),
        },
    ),
    Exercise(
        name="ppo.clip_loss",
        reference=_clip_loss,
        inputs=_batch,
        hint="The ratio of two probabilities is the exponential of the difference of their logs.",
        remark="A loss is made smaller, so the gain gets a minus.",
        wrong={
            "sign": Wrong(
                partial(_clip_loss, kind="sign"),
                "This is the gain. An optimizer makes what it is given smaller: add the minus.",
            ),
            "clipped only": Wrong(
                partial(_clip_loss, kind="clipped only"),
                "You took the clipped term alone. A token that went the wrong way then has no "
                "gradient and never comes back: take the smaller of both terms.",
            ),
            "max": Wrong(
                partial(_clip_loss, kind="max"),
                "You took the larger term, the rosy one. PPO takes the smaller.",
            ),
            "no exp": Wrong(
                partial(_clip_loss, kind="no exp"),
                "This is the logarithm of the ratio: take the exponential.",
            ),
            "quotient of logs": Wrong(
                partial(_clip_loss, kind="quotient of logs"),
                "You divided logarithms. Subtract them, then take the exponential.",
            ),
        },
    ),
    Exercise(
        name="ppo.token_rewards",
        reference=_token_rewards,
        inputs=_padded_text,
        hint="Two things are added: a small penalty at each real token, and the score once.",
        remark="Summed over the text: the score, minus beta times the distance.",
        wrong={
            "sign": Wrong(
                partial(_token_rewards, sign=1.0),
                "You pay the policy for going away. Where it likes a token more than the reference "
                "does, that costs.",
            ),
            "last column": Wrong(
                partial(_token_rewards, place="column"),
                "The score stands at the last column, which is padding: no token ever gets it.",
            ),
            "first": Wrong(
                partial(_token_rewards, place="first"),
                "The score is known when the text has ended: it belongs to the last token.",
            ),
            "everywhere": Wrong(
                partial(_token_rewards, place="everywhere"),
                "Every token got the score, so longer texts earn more.",
            ),
            "padding": Wrong(
                partial(_token_rewards, padding=True), "Padding pays a penalty: leave it at 0."
            ),
        },
    ),
    Exercise(
        name="ppo.best_policy",
        reference=_best_policy,
        inputs=_few_texts,
        hint="Multiply each probability of the reference by exp(reward / beta). What is missing?",
        remark="What the reference never says stays at 0, at any reward.",
        wrong={
            "not normalised": Wrong(_not_normalised, "These do not sum to 1: divide by their sum."),
            "no reference": Wrong(
                _without_reference,
                "The reference is missing: this would be the best policy if the reference liked "
                "all texts alike.",
            ),
            "times beta": Wrong(
                _times_beta,
                "You multiplied the reward by beta. A high price must make the reward count less.",
            ),
            "greedy": Wrong(_greedy, "This is the best policy when distance costs nothing."),
            "no log": Wrong(
                _reference_twice,
                "You added the probabilities of the reference to the exponent: add their logs.",
            ),
        },
    ),
    Exercise(
        name="ppo.bytes_needed",
        reference=_bytes_needed,
        inputs=_sizes,
        hint="Two models are as large as the policy, two as large as the reward model. Which two "
        "are trained?",
        remark="Much of it is the state of the optimizer of two models.",
        wrong={
            "all trained": Wrong(
                _all_trained, "Reference and reward model stay as they are: they need no gradients."
            ),
            "policy only": Wrong(
                _policy_trained_only, "The value model learns too: it needs an optimizer as well."
            ),
            "no value": Wrong(_no_value, "One of the four is missing: the value model."),
            "value like policy": Wrong(
                _value_like_policy,
                "The value model begins as the reward model, so it is as large as that one.",
            ),
        },
    ),
)
