"""Let the companion write."""

from __future__ import annotations

import torch
from torch import Tensor

from llmlib.companion.documents import END
from llmlib.generation import generate
from llmlib.models import Llama
from llmlib.tokenizers import BPETokenizer

__all__ = ["continue_story"]


def continue_story(
    model: Llama,
    tokenizer: BPETokenizer,
    prompt: str,
    *,
    temperature: float = 1.0,
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
    generator : torch.Generator, optional
        Of the random numbers.

    Returns
    -------
    str
        Prompt and continuation.
    """
    end = tokenizer.special_tokens[END]
    ids = [end, *tokenizer.encode(prompt)]
    device = next(model.parameters()).device
    written: Tensor = generate(
        model,
        torch.tensor([ids], device=device),
        max_new_tokens=model.config.context_length - len(ids),
        temperature=temperature,
        stop_ids=[end],
        generator=generator,
    )
    return tokenizer.decode([token for token in written[0].tolist() if token != end])
