"""Exercises of the chapter on supervised fine-tuning."""

from __future__ import annotations

from functools import partial

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]

IGNORED = -100
END, USER, ASSISTANT = 0, 1, 2  # the marks in the drawn conversations


def _conversation(g: Generator) -> Tensor:
    """END, then turns of user and assistant with contents of different lengths."""
    ids = [END]
    for _ in range(draw.integer(g, 2, 4)):
        for mark in (USER, ASSISTANT):
            content = 3 + draw.tokens(g, draw.integer(g, 2, 5), vocab_size=40)
            ids += [mark, *content.tolist(), END]
    return torch.tensor(ids)


# --- learned_tokens -----------------------------------------------------------------------------


def _learned_tokens(
    ids: Tensor,
    assistant: int,
    end: int,
    *,
    mark: bool = False,
    with_end: bool = True,
    last_only: bool = False,
    to_the_end: bool = False,
) -> Tensor:
    """Which tokens are the assistant's; the keywords make the known mistakes."""
    learned = torch.zeros(len(ids), dtype=torch.bool)
    speaking, begins = False, 0
    for t, token in enumerate(ids.tolist()):
        if speaking:
            learned[t] = token != end or with_end
            speaking = token != end or to_the_end
        elif token == assistant:
            speaking, begins = True, t
            learned[t] = mark
    if last_only:
        learned[:begins] = False
    return learned


# --- targets ------------------------------------------------------------------------------------


def _targets(ids: Tensor, learned: Tensor) -> Tensor:
    return torch.where(learned[1:], ids[1:], IGNORED)


def _mask_not_shifted(ids: Tensor, learned: Tensor) -> Tensor:
    return torch.where(learned[:-1], ids[1:], IGNORED)


def _not_shifted(ids: Tensor, learned: Tensor) -> Tensor:
    return torch.where(learned[:-1], ids[:-1], IGNORED)


def _everything(ids: Tensor, learned: Tensor) -> Tensor:
    return ids[1:]


def _zeros(ids: Tensor, learned: Tensor) -> Tensor:
    return torch.where(learned[1:], ids[1:], 0)


def _ids_and_learned(g: Generator) -> tuple[Tensor, Tensor]:
    ids = _conversation(g)
    return ids, _learned_tokens(ids, ASSISTANT, END)


# --- may_attend ---------------------------------------------------------------------------------


def _may_attend(documents: Tensor) -> Tensor:
    return (documents[:, None] == documents[None, :]).tril()


def _same_document(documents: Tensor) -> Tensor:
    return documents[:, None] == documents[None, :]


def _causal(documents: Tensor) -> Tensor:
    return torch.ones(len(documents), len(documents), dtype=torch.bool).tril()


def _not_itself(documents: Tensor) -> Tensor:
    return (documents[:, None] == documents[None, :]).tril(-1)


def _later(documents: Tensor) -> Tensor:
    return (documents[:, None] == documents[None, :]).triu()


def _documents(g: Generator) -> tuple[Tensor]:
    sizes = 2 + draw.tokens(g, 3, vocab_size=4)
    return (torch.repeat_interleave(torch.arange(3), sizes),)


# --- balanced_loss ------------------------------------------------------------------------------


def _replies(losses: Tensor, learned: Tensor) -> list[Tensor]:
    found, current = [], []
    for loss, one in zip([*losses, None], [*learned.tolist(), False], strict=True):
        if one:
            current.append(loss)
        elif current:
            found.append(torch.stack(current))
            current = []
    return found


def _balanced_loss(losses: Tensor, learned: Tensor) -> Tensor:
    return torch.stack([reply.mean() for reply in _replies(losses, learned)]).mean()


def _mean_of_tokens(losses: Tensor, learned: Tensor) -> Tensor:
    return losses[learned].mean()


def _sum_of_means(losses: Tensor, learned: Tensor) -> Tensor:
    return torch.stack([reply.mean() for reply in _replies(losses, learned)]).sum()


def _mean_of_sums(losses: Tensor, learned: Tensor) -> Tensor:
    return torch.stack([reply.sum() for reply in _replies(losses, learned)]).mean()


def _mean_of_all(losses: Tensor, learned: Tensor) -> Tensor:
    return (losses * learned).mean()


def _losses_and_learned(g: Generator) -> tuple[Tensor, Tensor]:
    learned = _learned_tokens(_conversation(g), ASSISTANT, END)
    return draw.uniform(g, len(learned), low=0.1, high=5.0), learned


# --- tokens_read --------------------------------------------------------------------------------


def _tokens_read(asked: list[int], replied: list[int]) -> int:
    total, so_far = 0, 0
    for prompt, reply in zip(asked, replied, strict=True):
        so_far += prompt + reply
        total += so_far
    return total


def _read_once(asked: list[int], replied: list[int]) -> int:
    return sum(asked) + sum(replied)


def _without_own_reply(asked: list[int], replied: list[int]) -> int:
    return _tokens_read(asked, [*replied[:-1], 0]) - sum(replied[:-1])


def _always_whole(asked: list[int], replied: list[int]) -> int:
    return len(asked) * (sum(asked) + sum(replied))


def _without_earlier_replies(asked: list[int], replied: list[int]) -> int:
    total, so_far = 0, 0
    for prompt, reply in zip(asked, replied, strict=True):
        so_far += prompt
        total += so_far + reply
    return total


def _lengths(g: Generator) -> tuple[list[int], list[int]]:
    count = draw.integer(g, 3, 5)
    return tuple((5 + draw.tokens(g, count, vocab_size=90)).tolist() for _ in range(2))


EXERCISES = (
    Choice(
        name="finetuning.predict_no_end",
        right="c",
        why={
            "a": "The first token of a reply is learned as before; nothing makes it empty.",
            "b": "The tokens of the answer are learned as before, so they are as good as before.",
            "c": "Nothing taught it what comes after the last token of a reply. So it goes on "
            "with whatever the base model thinks likely, until the limit of new tokens.",
            "d": "The loop that generates knows no sentences: it stops at the end mark or at the "
            "limit.",
        },
        hint="Which token tells the loop that generates to stop, and who writes it?",
    ),
    Exercise(
        name="finetuning.learned_tokens",
        reference=_learned_tokens,
        inputs=lambda g: (_conversation(g), ASSISTANT, END),
        hint="Walk through the tokens and remember whether the assistant is speaking.",
        remark="Every reply, from its first token to its end mark.",
        wrong={
            "mark too": Wrong(
                partial(_learned_tokens, mark=True),
                "You learn the assistant's mark as well. The program that asks for a reply writes "
                "it; the model never has to.",
            ),
            "no end": Wrong(
                partial(_learned_tokens, with_end=False),
                "The end mark after a reply is missing: a model that never learned to write it "
                "never stops.",
            ),
            "last only": Wrong(
                partial(_learned_tokens, last_only=True),
                "Only the last reply is learned. The earlier ones are as good, and cost nothing "
                "more.",
            ),
            "to the end": Wrong(
                partial(_learned_tokens, to_the_end=True),
                "From the first reply on you learn everything, what the user says later too. Stop "
                "at the end mark.",
            ),
        },
    ),
    Exercise(
        name="finetuning.targets",
        reference=_targets,
        inputs=_ids_and_learned,
        hint="ids[t + 1] is the target at place t. Which entry of learned speaks about it?",
        remark="Tokens and mask move by one place together.",
        wrong={
            "mask stays": Wrong(
                _mask_not_shifted,
                "The targets moved and the mask did not. The first token of each reply is lost, "
                "and the token after the end mark is learned.",
            ),
            "not shifted": Wrong(
                _not_shifted, "Each place has its own token as its target: it would learn to copy."
            ),
            "everything": Wrong(_everything, "What the user says is learned too: mask it."),
            "zeros": Wrong(_zeros, "0 is a token. What does not count is marked with -100."),
        },
    ),
    Exercise(
        name="finetuning.may_attend",
        reference=_may_attend,
        inputs=_documents,
        hint="Two conditions: the same conversation, and not later.",
        remark="With positions that begin anew as well, a packed conversation gives the numbers "
        "that it gives alone.",
        wrong={
            "not causal": Wrong(
                _same_document, "A token sees the later ones of its conversation: its own targets."
            ),
            "causal only": Wrong(
                _causal, "A token sees the conversations before its own: that is the leak."
            ),
            "not itself": Wrong(
                _not_itself, "A token may attend to itself; the first has no one else."
            ),
            "upside down": Wrong(
                _later, "Rows are queries: they look to the left, not to the right."
            ),
        },
    ),
    Exercise(
        name="finetuning.balanced_loss",
        reference=_balanced_loss,
        inputs=_losses_and_learned,
        hint="A reply is a run of learned tokens. First a mean in each, then the mean of these.",
        remark="A one-word answer now counts as much as a story.",
        wrong={
            "tokens": Wrong(
                _mean_of_tokens, "This is the mean over tokens: long replies count more."
            ),
            "sum": Wrong(_sum_of_means, "You added the replies up: divide by their number."),
            "sums": Wrong(
                _mean_of_sums, "Within a reply take the mean, not the sum: else length counts."
            ),
            "all": Wrong(
                _mean_of_all, "You divided by all tokens, also by those that are not learned."
            ),
        },
    ),
    Exercise(
        name="finetuning.tokens_read",
        reference=_tokens_read,
        inputs=_lengths,
        hint="The example of reply i holds all turns up to it. Add the lengths of the examples.",
        remark="It grows with the square of the number of turns; in one pass it is the sum.",
        wrong={
            "once": Wrong(
                _read_once, "This is one pass over the whole. Here each reply is an example alone."
            ),
            "without reply": Wrong(
                _without_own_reply, "Each example ends with its own reply: it is read as well."
            ),
            "always whole": Wrong(
                _always_whole, "An example ends with its reply; the later turns are not in it."
            ),
            "no replies": Wrong(
                _without_earlier_replies, "The earlier replies are part of the prompt too."
            ),
        },
    ),
)
