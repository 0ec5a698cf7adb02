"""Floor 3: from a model to text.

====================================  ==================================================
file                                  what is in it
====================================  ==================================================
:mod:`llmlib.generation.sampling`     temperature, top-k, top-p, min-p, repetition
:mod:`llmlib.generation.decoding`     greedy search and sampling, whole or as a stream
:mod:`llmlib.generation.beam`         beam search
:mod:`llmlib.generation.state`        a text that grows, with a cache or without
:mod:`llmlib.generation.constrained`  only texts of a given language
:mod:`llmlib.generation.automaton`    languages as tables: which byte may come next
:mod:`llmlib.generation.regular`      regular expressions
:mod:`llmlib.generation.json_schema`  JSON schemas
====================================  ==================================================
"""

from llmlib.generation.automaton import Automaton
from llmlib.generation.beam import BeamStep, beam_search
from llmlib.generation.constrained import TokenConstraint, allowed_tokens
from llmlib.generation.decoding import generate, stream
from llmlib.generation.json_schema import compile_schema
from llmlib.generation.regular import compile_regex
from llmlib.generation.sampling import (
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    sample,
    token_probabilities,
)
from llmlib.generation.state import pad_left

__all__ = [
    "Automaton",
    "BeamStep",
    "TokenConstraint",
    "allowed_tokens",
    "beam_search",
    "compile_regex",
    "compile_schema",
    "generate",
    "keep_min_p",
    "keep_top_k",
    "keep_top_p",
    "pad_left",
    "penalise_repetition",
    "sample",
    "stream",
    "token_probabilities",
]
