"""Let a model reply in a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from llmlib.generation import generate, pad_left
from llmlib.models import CausalLanguageModel
from llmlib.tokenizers import ChatTemplate, Tokenizer

__all__ = ["replies", "reply"]

Messages = Sequence[Mapping[str, str]]


def replies(
    model: CausalLanguageModel,
    tokenizer: Tokenizer,
    conversations: Sequence[Messages],
    *,
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float | None = None,
    template: ChatTemplate | None = None,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
) -> list[str]:
    """The assistant's next turn in each conversation.

    Parameters
    ----------
    model, tokenizer
        A model that was fine-tuned with the template.
    conversations : sequence of lists of dict
        Each with ``role`` and ``content``, ending where the assistant is to speak.
    max_new_tokens : int
        Most tokens of a reply; fewer where the context ends.
    temperature : float
        0 takes the best token at every step.
    top_p : float, optional
        Draws from the fewest tokens that have this much of the probability together.
    template : ChatTemplate
        How conversations are written.
    batch_size : int
        Conversations at a time.
    generator : torch.Generator, optional
        Of the random numbers.

    Returns
    -------
    list of str
        The words, without marks. A reply that found no end within its tokens is cut there.

    Raises
    ------
    ValueError
        A conversation leaves no room in the context.
    """
    template = template or ChatTemplate()
    end = tokenizer.special_tokens[template.end]
    device = next(model.parameters()).device
    prompts = [template.encode(tokenizer, c, generation_prompt=True).ids for c in conversations]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # little padding
    written = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        ids, mask = pad_left([prompts[i] for i in chosen], end)
        room = model.config.context_length - ids.shape[1]
        if room < 1:
            raise ValueError(
                f"a conversation has {ids.shape[1]} tokens, but the context holds "
                f"{model.config.context_length} and a reply needs room: leave out earlier turns"
            )
        made = generate(
            model,
            ids.to(device),
            max_new_tokens=min(max_new_tokens, room),
            temperature=temperature,
            top_p=top_p,
            stop_ids=[end],
            mask=mask.to(device),
            generator=generator,
        )
        for i, row in zip(chosen, made[:, ids.shape[1] :].tolist(), strict=True):
            stop = row.index(end) if end in row else len(row)
            written[i] = tokenizer.decode(row[:stop])
    return written


def reply(
    model: CausalLanguageModel, tokenizer: Tokenizer, messages: Messages, **options: object
) -> str:
    """The assistant's next turn in one conversation; options as for :func:`replies`."""
    return replies(model, tokenizer, [messages], **options)[0]
