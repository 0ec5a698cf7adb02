"""Exercises of the chapter on direct preference optimisation."""

from __future__ import annotations

from functools import partial

import torch
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]


# --- rewards ------------------------------------------------------------------------------------


def _rewards(best: Tensor, reference: Tensor, beta: float, *, kind: str = "right") -> Tensor:
    """Rewards that explain a policy, that of the first answer 0; ``kind`` makes the mistakes."""
    ratios = (best / reference).log()
    if kind == "no log":
        ratios = best / reference
    if kind == "no reference":
        ratios = best.log()
    if kind == "upside down":
        ratios = -ratios
    rewards = ratios / beta if kind == "over beta" else beta * ratios
    return rewards if kind == "not shifted" else rewards - rewards[0]


def _two_policies(g: Generator) -> tuple[Tensor, Tensor, float]:
    count = draw.integer(g, 3, 6)
    best, reference = (draw.normal(g, count).softmax(-1) for _ in range(2))
    return best, reference, draw.integer(g, 2, 8) / 10


# --- answer_logp --------------------------------------------------------------------------------


def _answer_logp(logits: Tensor, ids: Tensor, prompt_length: int, *, kind: str = "right") -> Tensor:
    """Log-probability of what follows a prompt; ``kind`` makes the known mistakes."""
    if kind == "not shifted":
        found = logits.log_softmax(-1).gather(-1, ids[:, None])[:, 0]
        return found[prompt_length:].sum()
    found = logits[:-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
    if kind == "raw scores":
        found = logits[:-1].gather(-1, ids[1:, None])[:, 0]
    first = {"prompt too": 0, "first token lost": prompt_length}.get(kind, prompt_length - 1)
    return found[first:].mean() if kind == "mean" else found[first:].sum()


def _one_answer(g: Generator) -> tuple[Tensor, Tensor, int]:
    length, words = draw.integer(g, 5, 8), draw.integer(g, 4, 7)
    ids = torch.randint(words, (length,), generator=g)
    return 2 * draw.normal(g, length, words), ids, draw.integer(g, 1, 3)


# --- loss ---------------------------------------------------------------------------------------


def _loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float,
    *,
    kind: str = "right",
) -> Tensor:
    """The loss of DPO; ``kind`` makes the known mistakes."""
    gap = (chosen - ref_chosen) - (rejected - ref_rejected)
    if kind == "no reference":
        gap = chosen - rejected
    if kind == "swapped":
        gap = -gap
    if kind == "reference added":
        gap = (chosen - rejected) + (ref_chosen - ref_rejected)
    if kind == "over beta":
        return -logsigmoid(gap / beta).mean()
    if kind == "sigmoid":
        return -torch.sigmoid(beta * gap).mean()
    if kind == "mean first":
        return -logsigmoid(beta * gap.mean())
    return logsigmoid(beta * gap).mean() if kind == "sign" else -logsigmoid(beta * gap).mean()


def _four_numbers(g: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    count = draw.integer(g, 3, 6)
    reference = [-draw.uniform(g, count, low=5.0, high=20.0) for _ in range(2)]
    policy = [each + 3 * draw.normal(g, count) for each in reference]
    return *policy, *reference, draw.integer(g, 1, 4) / 10


# --- pull ---------------------------------------------------------------------------------------


def _pull(gap: float, beta: float, *, kind: str = "right") -> float:
    """Length of the gradient in the chosen log-probability; ``kind`` makes the mistakes."""
    inside = beta * gap if kind == "right order" else -beta * gap
    if kind == "no beta inside":
        inside = -gap
    share = torch.sigmoid(torch.tensor(inside)).item()
    return share if kind == "no beta outside" else beta * share


def _gap_and_beta(g: Generator) -> tuple[float, float]:
    return float(4 * draw.normal(g, 1)), draw.integer(g, 1, 6) / 10


# --- ipo ----------------------------------------------------------------------------------------


def _ipo(gap: Tensor, tau: float, *, kind: str = "right") -> Tensor:
    """IPO's loss from the gaps of a batch; ``kind`` makes the known mistakes."""
    goal = {"one over tau": 1 / tau, "half tau": tau / 2, "tau": tau}.get(kind, 1 / (2 * tau))
    far = gap - goal
    if kind == "no square":
        return far.abs().mean()
    if kind == "one side":
        return far.clamp(max=0).square().mean()
    return far.square().mean()


def _gaps(g: Generator) -> tuple[Tensor, float]:
    return 3 * draw.normal(g, draw.integer(g, 4, 7)), draw.integer(g, 2, 9) / 10


EXERCISES = (
    Choice(
        name="dpo.predict_loss",
        right="b",
        why={
            "a": "The loss never looks at the chosen answer alone: only the difference of two "
            "log-ratios enters.",
            "b": "The reference stays where it is, so the gap grew by -4 - (-18) = 14 nats, and "
            "-ln sigma(beta h) falls. Both answers became rarer, and the loss is content.",
            "c": "It would stay only if both had fallen by the same amount.",
            "d": "The reference does not move in training: it cancels in the change of the gap.",
        },
        hint="Write down the gap before and after. What is the difference?",
    ),
    Exercise(
        name="dpo.rewards",
        reference=_rewards,
        inputs=_two_policies,
        hint="Solve best = reference * exp(reward / beta) / Z for the reward. What is known of Z?",
        remark="Z is lost for ever, and no comparison of two answers to one prompt misses it.",
        wrong={
            "not shifted": Wrong(
                partial(_rewards, kind="not shifted"),
                "The differences are right, but the first answer is to have reward 0.",
            ),
            "over beta": Wrong(
                partial(_rewards, kind="over beta"),
                "You divided by beta. At a high price a small step speaks of a large reward.",
            ),
            "no log": Wrong(
                partial(_rewards, kind="no log"),
                "The logarithm is missing: rewards stand in the exponent.",
            ),
            "no reference": Wrong(
                partial(_rewards, kind="no reference"),
                "An answer may be likely because it was before: divide by the reference.",
            ),
            "upside down": Wrong(
                partial(_rewards, kind="upside down"),
                "Answers that became likelier were liked: you have the ratio upside down.",
            ),
        },
    ),
    Exercise(
        name="dpo.answer_logp",
        reference=_answer_logp,
        inputs=_one_answer,
        hint="The scores at a place are those of the next token. Where does the answer begin?",
        remark="A sum over tokens: the logarithm of a product of conditional probabilities.",
        wrong={
            "prompt too": Wrong(
                partial(_answer_logp, kind="prompt too"),
                "The tokens of the prompt are counted too. Nobody chose between prompts.",
            ),
            "first token lost": Wrong(
                partial(_answer_logp, kind="first token lost"),
                "The first token of the answer is missing. Its scores stand at the last place of "
                "the prompt.",
            ),
            "not shifted": Wrong(
                partial(_answer_logp, kind="not shifted"),
                "You scored every token with the scores at its own place, which are those of the "
                "token after it.",
            ),
            "mean": Wrong(
                partial(_answer_logp, kind="mean"),
                "This is the mean over tokens. The log-probability of a text is the sum.",
            ),
            "raw scores": Wrong(
                partial(_answer_logp, kind="raw scores"),
                "These are scores, not log-probabilities: take log_softmax first.",
            ),
        },
    ),
    Exercise(
        name="dpo.loss",
        reference=_loss,
        inputs=_four_numbers,
        hint="First the gap: how much further has the chosen answer risen above the reference?",
        remark="logsigmoid stays finite where the logarithm of a sigmoid does not.",
        wrong={
            "no reference": Wrong(
                partial(_loss, kind="no reference"),
                "The reference is missing: an answer that was always likely would count as liked.",
            ),
            "swapped": Wrong(
                partial(_loss, kind="swapped"),
                "Chosen and rejected are exchanged: this teaches the opposite.",
            ),
            "reference added": Wrong(
                partial(_loss, kind="reference added"),
                "The reference has the wrong sign: take its difference away.",
            ),
            "over beta": Wrong(
                partial(_loss, kind="over beta"),
                "You divided by beta. The implicit reward is beta times the log-ratio.",
            ),
            "sigmoid": Wrong(
                partial(_loss, kind="sigmoid"),
                "The logarithm is missing: a likelihood is made large through its log.",
            ),
            "mean first": Wrong(
                partial(_loss, kind="mean first"),
                "You took the mean of the gaps first. The loss is the mean over pairs.",
            ),
            "sign": Wrong(
                partial(_loss, kind="sign"),
                "This is the log-likelihood. An optimizer makes smaller what it is given.",
            ),
        },
    ),
    Exercise(
        name="dpo.pull",
        reference=_pull,
        inputs=_gap_and_beta,
        hint="Differentiate -ln sigma(beta h) in h. The derivative of ln sigma(z) is sigma(-z).",
        remark="A pair pulls with the probability that the policy still gives to the wrong order.",
        wrong={
            "right order": Wrong(
                partial(_pull, kind="right order"),
                "This weight grows with every pair that is already right. It has to fall.",
            ),
            "no beta outside": Wrong(
                partial(_pull, kind="no beta outside"),
                "The inner derivative is missing: h stands under the sigmoid times beta.",
            ),
            "no beta inside": Wrong(
                partial(_pull, kind="no beta inside"),
                "Beta is missing inside the sigmoid: it decides which gap counts as enough.",
            ),
        },
    ),
    Exercise(
        name="dpo.ipo",
        reference=_ipo,
        inputs=_gaps,
        hint="The gap is to come to rest at one over two tau.",
        remark="A gap beyond its goal is pulled back: a place to rest, where DPO has none.",
        wrong={
            "one over tau": Wrong(
                partial(_ipo, kind="one over tau"), "The goal is half of that: 1 / (2 tau)."
            ),
            "half tau": Wrong(
                partial(_ipo, kind="half tau"),
                "Your goal grows with tau. A higher price has to mean a smaller gap.",
            ),
            "tau": Wrong(
                partial(_ipo, kind="tau"),
                "Your goal is tau itself. A higher price has to mean a smaller gap.",
            ),
            "no square": Wrong(
                partial(_ipo, kind="no square"), "These are distances: the loss has their squares."
            ),
            "one side": Wrong(
                partial(_ipo, kind="one side"),
                "Gaps beyond the goal cost nothing here. IPO pulls them back as well.",
            ),
        },
    ),
)
