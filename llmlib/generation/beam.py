r"""Beam search: the most probable text, looked for along several ways at once.

.. math::

   \mathrm{score}(y) = \frac{1}{|y|^{\alpha}} \sum_{t=1}^{|y|} \log p(y_t \mid x, y_{<t})

At each step every running text is continued by every token; the ``num_beams`` best continuations
run on. A continuation by a stop token has ended and joins the best ended ones, if its score is
among them. The search is over when no running text can get better than what has ended.

=====================  =====================================  =====================
code                   what it is                             shape
=====================  =====================================  =====================
``running``            what is being written                  ``(B, beams, new)``
``running_scores``     its log-probability                    ``(B, beams)``
``ended``              what has ended                         ``(B, beams, new)``
``ended_scores``       its score, with the length penalty     ``(B, beams)``
``length_penalty``     :math:`\alpha`                         number
=====================  =====================================  =====================

References
----------
1. Graves, *Sequence Transduction with Recurrent Neural Networks*, 2012, arXiv:1211.3711.
2. Wu et al., *Google's Neural Machine Translation System*, 2016, arXiv:1609.08144, section 7
   (length normalisation).
3. Stahlberg and Byrne, *On NMT Search Errors and Model Errors: Cat Got Your Tongue?*, 2019,
   arXiv:1908.10090 (why a wider beam may give a worse text).

**Differs from** ``generate`` **of transformers in** nothing for ``early_stopping=False``, its
default: the same candidates, the same penalty, the same rule to end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llmlib.generation.decoding import evaluating
from llmlib.generation.state import begin
from llmlib.models import EncoderDecoder

__all__ = ["BeamStep", "beam_search"]

_NEVER = -1.0e9  # a score below that of any text


@dataclass(frozen=True)
class BeamStep:
    """What one step of beam search decided, for those who want to watch.

    Parameters
    ----------
    parents : Tensor
        ``(B, beams)``, the beam that each running text continues.
    tokens : Tensor
        ``(B, beams)``, the token it was continued by.
    scores : Tensor
        ``(B, beams)``, its log-probability so far.
    """

    parents: Tensor
    tokens: Tensor
    scores: Tensor


@torch.no_grad()
def beam_search(
    model: nn.Module | Callable[..., Tensor],
    ids: Tensor,
    *,
    max_new_tokens: int,
    num_beams: int,
    length_penalty: float = 1.0,
    stop_ids: Sequence[int] = (),
    pad_id: int | None = None,
    mask: Tensor | None = None,
    cache: bool = True,
    watch: Callable[[BeamStep], None] | None = None,
) -> Tensor:
    """Continue every text by the best continuation that the beam finds.

    Parameters
    ----------
    model, ids, max_new_tokens, stop_ids, pad_id, mask, cache
        As for :func:`~llmlib.generation.generate`.
    num_beams : int
        Texts that run side by side; 1 is greedy search.
    length_penalty : float
        The exponent of the length: 0 compares plain log-probabilities, which favours short texts,
        1 compares the mean per token.
    watch : callable, optional
        Called with a :class:`BeamStep` after every step.

    Returns
    -------
    Tensor
        ``(B, T + new)``, or ``(B, new)`` for an encoder-decoder.

    Raises
    ------
    ValueError
        As for :func:`~llmlib.generation.generate`; or ``num_beams`` is below 1.

    Examples
    --------
    Token 1 looks better at first, but token 2 leads on to a more probable pair: 0.4 * 0.9 against
    0.6 * 0.5.

    >>> def model(ids):
    ...     after = torch.tensor([[0, .6, .4], [.5, .5, 0], [.9, .1, 0]])
    ...     return after[ids].log()
    >>> start = torch.tensor([[0]])
    >>> beam_search(model, start, max_new_tokens=2, num_beams=1)
    tensor([[0, 1, 0]])
    >>> beam_search(model, start, max_new_tokens=2, num_beams=2)
    tensor([[0, 2, 0]])
    """
    if num_beams < 1:
        raise ValueError(f"num_beams={num_beams}, but at least one text must run: choose 1 or more")
    batch = ids.shape[0]
    stops = torch.tensor(list(stop_ids), dtype=ids.dtype, device=ids.device)
    filler = pad_id if pad_id is not None else (stop_ids[0] if len(stops) else 0)
    # Stop tokens may take places among the best; enough others must be left to run on.
    candidates = num_beams * max(2, 1 + len(stops))

    running = ids.new_full((batch, num_beams, max_new_tokens), filler)
    running_scores = torch.zeros(batch, num_beams, device=ids.device)
    running_scores[:, 1:] = _NEVER  # all beams start alike: let only the first one branch
    ended, ended_scores = running.clone(), torch.full_like(running_scores, _NEVER)
    has_ended = torch.zeros_like(running_scores, dtype=torch.bool)
    improvable = torch.ones(batch, 1, dtype=torch.bool, device=ids.device)
    first_rows = torch.arange(batch, device=ids.device)[:, None] * num_beams  # (B, 1)

    with evaluating(model):
        repeated = (x if x is None else x.repeat_interleave(num_beams, dim=0) for x in (ids, mask))
        state = begin(model, *repeated, max_new_tokens, cache=cache)
        for step in range(max_new_tokens):
            log_probs = state.logits().float().log_softmax(dim=-1)  # (B * beams, V)
            vocab_size = log_probs.shape[-1]
            log_probs = log_probs.view(batch, num_beams, vocab_size) + running_scores[:, :, None]
            count = min(candidates, num_beams * vocab_size)
            scores, places = log_probs.flatten(1).topk(count)  # (B, candidates)
            parents, tokens = places // vocab_size, places % vocab_size
            texts = _take(running, parents)  # (B, candidates, new)
            texts[:, :, step] = tokens
            last = step + 1 == max_new_tokens
            stopped = torch.isin(tokens, stops)

            # What has ended among the best joins the ended texts.
            among_best = torch.arange(count, device=ids.device) < num_beams
            joins = (stopped | last) & among_best & improvable
            penalised = (scores / (step + 1) ** length_penalty).masked_fill(~joins, _NEVER)
            ended_scores, best = torch.cat((ended_scores, penalised), 1).topk(num_beams)
            ended = _take(torch.cat((ended, texts), dim=1), best)
            has_ended = torch.cat((has_ended, joins), dim=1).gather(1, best)

            # The best of the others run on.
            running_scores, best = (scores + stopped * _NEVER).topk(num_beams)
            running = _take(texts, best)
            parents, tokens = parents.gather(1, best), tokens.gather(1, best)
            if watch is not None:
                watch(BeamStep(parents, tokens, running_scores))

            hopes = running_scores[:, :1] / (step + 1) ** length_penalty
            worst = ended_scores.amin(dim=1, keepdim=True).where(has_ended.all(1, True), _NEVER)
            improvable &= hopes > worst
            if last or not bool(improvable.any()):
                break
            state.reorder((first_rows + parents).flatten())
            state.append(tokens.flatten())

    best_texts = ended[:, 0]  # (B, new)
    prompt = ids[:, :0] if isinstance(model, EncoderDecoder) else ids
    return torch.cat((prompt, best_texts[:, : _longest(best_texts, stops)]), dim=1)


def _take(beams: Tensor, which: Tensor) -> Tensor:
    """Pick texts of each batch row: ``(B, n, new), (B, m) -> (B, m, new)``."""
    return beams.gather(1, which[:, :, None].expand(-1, -1, beams.shape[-1]))


def _longest(texts: Tensor, stops: Tensor) -> int:
    """Tokens of the longest text, its stop token included."""
    stopped = torch.isin(texts, stops)  # (B, new)
    before_first = (stopped.cumsum(dim=1) == 0).sum(dim=1)  # (B,)
    lengths = (before_first + 1).clamp(max=texts.shape[1])
    return int(lengths.max())
