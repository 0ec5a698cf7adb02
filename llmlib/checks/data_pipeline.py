"""Exercises of the chapter on the data pipeline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong
from llmlib.models.causal import places_in_documents

__all__ = ["EXERCISES"]

IGNORED = -100


def _documents(g: Generator, rows: int = 1, length: int | None = None) -> Tensor:
    """Rows of documents of random lengths, numbered from 0, the last part of a row padding."""
    length = draw.integer(g, 9, 14) if length is None else length
    numbers = torch.full((rows, length), -1)
    for row in numbers:
        stop, number = 0, 0
        while True:
            size = draw.integer(g, 1, 5)
            if stop + size > length - 1:  # at least one place stays padding
                break
            row[stop : stop + size] = number
            stop, number = stop + size, number + 1
    return numbers


# --- targets ------------------------------------------------------------------------------------


def _targets(ids: Tensor, documents: Tensor) -> Tensor:
    same = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    return ids[:, 1:].where(same, IGNORED)


def _targets_across(ids: Tensor, documents: Tensor) -> Tensor:
    return ids[:, 1:].where(documents[:, 1:] >= 0, IGNORED)


def _targets_of_padding(ids: Tensor, documents: Tensor) -> Tensor:
    return ids[:, 1:].where(documents[:, 1:] == documents[:, :-1], IGNORED)


def _targets_everywhere(ids: Tensor, documents: Tensor) -> Tensor:
    return ids[:, 1:]


def _targets_unshifted(ids: Tensor, documents: Tensor) -> Tensor:
    return ids[:, :-1].where(documents[:, :-1] >= 0, IGNORED)


def _row_of_documents(g: Generator) -> tuple[Tensor, Tensor]:
    documents = _documents(g, rows=2)
    ids = draw.tokens(g, *documents.shape, vocab_size=90) + 10
    return ids.where(documents >= 0, 0), documents


# --- positions ----------------------------------------------------------------------------------


def _positions(documents: Tensor) -> Tensor:
    return places_in_documents(documents)


def _positions_straight_on(documents: Tensor) -> Tensor:
    return torch.arange(documents.shape[1]).expand_as(documents)


def _positions_from_one(documents: Tensor) -> Tensor:
    return places_in_documents(documents) + 1


def _numbered_rows(g: Generator) -> tuple[Tensor]:
    return (_documents(g, rows=draw.integer(g, 2, 3)),)


# --- mask ---------------------------------------------------------------------------------------


def _mask(documents: Tensor) -> Tensor:
    length = documents.shape[1]
    before = torch.ones(length, length, dtype=torch.bool).tril()
    return (documents[:, :, None] == documents[:, None, :]) & before


def _mask_both_ways(documents: Tensor) -> Tensor:
    return documents[:, :, None] == documents[:, None, :]


def _mask_causal(documents: Tensor) -> Tensor:
    length = documents.shape[1]
    return torch.ones(length, length, dtype=torch.bool).tril().expand(len(documents), -1, -1)


def _mask_without_itself(documents: Tensor) -> Tensor:
    length = documents.shape[1]
    before = torch.ones(length, length, dtype=torch.bool).tril(-1)
    return (documents[:, :, None] == documents[:, None, :]) & before


def _mask_inverted(documents: Tensor) -> Tensor:
    return ~_mask(documents)


# --- place_of -----------------------------------------------------------------------------------


def _place_of(step: int, rank: int, ranks: int, batch_size: int, rows: int) -> list[list[int]]:
    first = (step * ranks + rank) * batch_size
    return [list(divmod(first + i, rows)) for i in range(batch_size)]


def _place_of_without_ranks(
    step: int, rank: int, ranks: int, batch_size: int, rows: int
) -> list[list[int]]:
    return _place_of(step, 0, 1, batch_size, rows)


def _place_of_overlapping(
    step: int, rank: int, ranks: int, batch_size: int, rows: int
) -> list[list[int]]:
    return [list(divmod(step * batch_size + rank + i, rows)) for i in range(batch_size)]


def _place_of_one_epoch(
    step: int, rank: int, ranks: int, batch_size: int, rows: int
) -> list[list[int]]:
    places = _place_of(step, rank, ranks, batch_size, rows)
    return [[0, place] for _, place in places]


def _a_step(g: Generator) -> tuple[int, int, int, int, int]:
    ranks = draw.integer(g, 2, 4)
    rank = draw.integer(g, 1, ranks - 1)
    return draw.integer(g, 3, 60), rank, ranks, draw.integer(g, 2, 4), draw.integer(g, 9, 40)


# --- best_fit -----------------------------------------------------------------------------------


def _fit(lengths: Sequence[int], length: int, *, rule: str = "best") -> list[int]:
    """Row of each document in the order given; ``rule`` makes the known mistakes."""
    room: list[int] = []
    rows = []
    for size in lengths:
        open_rows = range(len(room))[-1:] if rule == "next" else range(len(room))
        able = [row for row in open_rows if room[row] >= size]
        if rule == "strict":
            able = [row for row in able if room[row] > size]
        if not able:
            room.append(length)
            able = [len(room) - 1]
        if rule == "worst":
            chosen = max(able, key=lambda row: (room[row], -row))
        elif rule == "first":
            chosen = able[0]
        else:
            chosen = min(able, key=lambda row: (room[row], row))
        room[chosen] -= size
        rows.append(chosen)
    return rows


def _best_fit(lengths: Sequence[int], length: int) -> list[int]:
    return _fit(lengths, length)


def _first_fit(lengths: Sequence[int], length: int) -> list[int]:
    return _fit(lengths, length, rule="first")


def _worst_fit(lengths: Sequence[int], length: int) -> list[int]:
    return _fit(lengths, length, rule="worst")


def _next_fit(lengths: Sequence[int], length: int) -> list[int]:
    return _fit(lengths, length, rule="next")


def _strict_fit(lengths: Sequence[int], length: int) -> list[int]:
    return _fit(lengths, length, rule="strict")


def _some_lengths(g: Generator) -> tuple[list[int], int]:
    length = draw.integer(g, 10, 16)
    return [draw.integer(g, 1, length - 2) for _ in range(draw.integer(g, 18, 26))], length


EXERCISES = (
    Exercise(
        name="data_pipeline.targets",
        reference=_targets,
        inputs=_row_of_documents,
        hint="Shift by one. A target counts where this place and the next have the same document, "
        "and that is not padding.",
        remark="The end of a document is a target; the first word of the next one is not.",
        wrong={
            "across": Wrong(
                _targets_across,
                "The last token of a document has the first of the next one as its target. "
                "Nothing in its document says what that is: ignore it.",
            ),
            "padding": Wrong(
                _targets_of_padding,
                "Padding predicts padding: it has a number of its own, -1. Leave it out.",
            ),
            "everywhere": Wrong(
                _targets_everywhere,
                "You shifted, but every place counts: padding and the borders of documents too.",
            ),
            "unshifted": Wrong(
                _targets_unshifted,
                "Each token is its own target. The target is the token that comes next.",
            ),
        },
    ),
    Exercise(
        name="data_pipeline.positions",
        reference=_positions,
        inputs=_numbered_rows,
        hint="Where does a document begin? Its place there, carried along the row, is what you "
        "take off: torch.cummax carries it.",
        remark="A document has the same positions in any row, so its logits do not depend on it.",
        wrong={
            "straight on": Wrong(
                _positions_straight_on,
                "Positions run on through the row. They start again at 0 with every document.",
            ),
            "from one": Wrong(_positions_from_one, "The first token of a document has position 0."),
        },
    ),
    Exercise(
        name="data_pipeline.document_mask",
        reference=_mask,
        inputs=_numbered_rows,
        hint="Two conditions at once: the same number, and the key not after the query. Give "
        "`documents` an axis of length 1 in two places.",
        remark="Written as blocks along the diagonal, each a triangle.",
        wrong={
            "both ways": Wrong(
                _mask_both_ways,
                "A token sees the later tokens of its own document. Keep the triangle.",
            ),
            "causal": Wrong(
                _mask_causal, "This is the causal mask alone: documents see earlier documents."
            ),
            "without itself": Wrong(
                _mask_without_itself,
                "A token may attend to itself; without it, the first one has nothing to attend to.",
            ),
            "inverted": Wrong(
                _mask_inverted, "You have True where attention is forbidden; True means may attend."
            ),
        },
    ),
    Choice(
        name="data_pipeline.predict_padding",
        right="a",
        why={
            "a": "Padding on the right comes after every real token, and a causal model never "
            "looks right. Its targets are -100, so it has no part in the loss either. It costs "
            "time, nothing else.",
            "b": "For that, a real token would have to attend to padding, which lies to its right.",
            "c": "Every row of the causal mask has at least one place: no softmax over nothing.",
            "d": "The mean is taken over the targets that count, and -100 does not.",
        },
        hint="Which tokens does a real token attend to, when the padding is on the right?",
    ),
    Exercise(
        name="data_pipeline.place_of",
        reference=_place_of,
        inputs=_a_step,
        hint="All ranks together read ranks * batch_size rows a step. How many rows were read "
        "before this rank's first one? divmod tells epoch and place.",
        remark="No state to save: the step says it all, for any number of ranks.",
        wrong={
            "without ranks": Wrong(
                _place_of_without_ranks,
                "Every rank reads the same rows: the gradient is that of one rank, at the price "
                "of all.",
            ),
            "overlapping": Wrong(
                _place_of_overlapping,
                "The rows of two ranks overlap. A rank begins batch_size rows after the one "
                "before it.",
            ),
            "one epoch": Wrong(
                _place_of_one_epoch,
                "The places are right, the epoch is not: it would have the same order every time.",
            ),
        },
    ),
    Exercise(
        name="data_pipeline.best_fit",
        reference=_best_fit,
        inputs=_some_lengths,
        hint="Keep a list of the room left in each row. Of the rows with enough room, take the "
        "one with the least, the first of equals; none: begin a row.",
        remark="In the order given, so it works on a stream. Sorting first fills rows better.",
        wrong={
            "first fit": Wrong(
                _first_fit,
                "You took the first row with enough room. Best fit takes the fullest of them.",
            ),
            "worst fit": Wrong(
                _worst_fit, "You took the row with the most room. Best fit takes the least."
            ),
            "next fit": Wrong(
                _next_fit, "You looked at the last row only. All rows that are begun stay open."
            ),
            "strict": Wrong(
                _strict_fit,
                "A document that fills a row exactly fits: compare with >=, not with >.",
            ),
        },
    ),
)
