"""A world of two plots, small enough to write all its stories down."""

import itertools

from llmlib.data.stories.notation import Choice, Slot, parse_plots, parse_shared
from llmlib.data.stories.record import FACTS
from llmlib.data.stories.vocabulary import fillers

SHARED = """language en
<nice> 3:nice|very [old|new]
"""
PLOTS = """
== doors : colour=colour second_colour=colour
The {colour} door is <nice> and [big|small]. The {second_colour} one is not.
{colour.C} or {second_colour}?
=> shut 2 : The {colour} door was shut.
Take {second_colour}.
Take {second_colour}[, please| now].
=> open 3 : The {colour} door was open.
{colour.C} it is.

The end[| of it].
== places : place=place spot=spot
A thing lay {spot}, near the [|old ]{place}.
=> lost : It stayed {spot}.
There it stays.
"""


def plots():
    return parse_plots(PLOTS, parse_shared(SHARED))


def written(line, values):
    """Every string of a line with its probability: the meaning of the notation, in the open."""
    ways = [("", 1.0)]
    for piece in line:
        if isinstance(piece, Choice):
            options = [
                (s, float(p) * q) for way, p in piece.options for s, q in written(way, values)
            ]
        elif isinstance(piece, Slot):
            options = [(values[piece.name]["en"][piece.form], 1.0)]
        else:
            options = [(piece, 1.0)]
        ways = [(a + b, p * q) for a, p in ways for b, q in options]
    return ways


def all_texts(made):
    """Every text of the world with its probability, summed over all ways to write it."""
    total = {}
    for plot in made:
        names = [name for name in FACTS if name in plot.slots]
        drawn = [
            words
            for words in itertools.product(*(fillers(plot.slots[name]) for name in names))
            if len({(plot.slots[n], w) for n, w in zip(names, words, strict=True)}) == len(words)
        ]
        for words in drawn:
            values = {n: fillers(plot.slots[n])[w] for n, w in zip(names, words, strict=True)}
            for ending in plot.endings.values():
                weight = ending.weight / sum(e.weight for e in plot.endings.values())
                ways = [("", weight / len(made) / len(drawn))]
                for beat in plot.path("en", ending.name):
                    lines = [(s, q / len(beat)) for line in beat for s, q in written(line, values)]
                    ways = [(f"{a} {b}".strip(), p * q) for a, p in ways for b, q in lines]
                for text, probability in ways:
                    total[text] = total.get(text, 0.0) + probability
    return total
