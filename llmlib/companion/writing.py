"""Let the companion write."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llmlib.companion.documents import END
from llmlib.generation import generate, pad_left
from llmlib.models import Llama
from llmlib.tokenizers import BPETokenizer

__all__ = ["continue_stories", "continue_story"]


def continue_story(
    model: Llama,
    tokenizer: BPETokenizer,
    prompt: str,
    *,
    temperature: float = 1.0,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> str:
    """Write a story to its end.

    Parameters
    ----------
    model, tokenizer
        The companion.
    prompt : str
        Its beginning; may be empty.
    temperature : float
        Of the sampling; 0 takes the most probable token.
    top_p : float, optional
        Only the most probable tokens that hold this probability together are drawn.
    generator : torch.Generator, optional
        Of the random numbers.

    Returns
    -------
    str
        Prompt and continuation.
    """
    options = {"temperature": temperature, "top_p": top_p, "generator": generator}
    return continue_stories(model, tokenizer, [prompt], **options)[0]


def continue_stories(
    model: Llama,
    tokenizer: BPETokenizer,
    prompts: Sequence[str],
    *,
    temperature: float = 1.0,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Write several stories at a time; arguments as for :func:`continue_story`."""
    end = tokenizer.special_tokens[END]
    ids, mask = pad_left([[end, *tokenizer.encode(prompt)] for prompt in prompts], pad_id=end)
    device = next(model.parameters()).device
    written = generate(
        model,
        ids.to(device),
        mask=mask.to(device),
        max_new_tokens=model.config.context_length - ids.shape[1],
        temperature=temperature,
        top_p=top_p,
        stop_ids=[end],
        generator=generator,
    )
    return [tokenizer.decode([id_ for id_ in row if id_ != end]) for row in written.tolist()]
