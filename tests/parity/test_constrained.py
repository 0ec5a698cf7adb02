"""Constrained decoding against llguidance: the same tokens at every step."""

import json
import random

import numpy as np
import pytest
import torch

from llmlib.generation import TokenConstraint, compile_regex, compile_schema
from llmlib.tokenizers import BPETokenizer

llguidance = pytest.importorskip("llguidance", reason="needs the extra: pip install llmlib[apps]")
PARITY = pytest.mark.parity(
    component="llmlib.generation.TokenConstraint",
    peer="llguidance.LLMatcher",
    compared="allowed tokens at every step",
    tolerance="equal",
)
END = "<|end|>"
#: How the peer is told to write JSON as json.dumps does.
STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"enum": ["search", "calculator"]},
        "count": {"type": "integer"},
        "exact": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 3},
        "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 8}]},
    },
    "required": ["name", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer():
    text = json.dumps(list(SCHEMA["properties"])) + ' the river 中文 {"name": "search", "tags": [] '
    return BPETokenizer.train([text * 3], 320, special_tokens=[END])


@pytest.fixture(scope="module")
def theirs(tokenizer):
    class Wrapped:
        """What llguidance asks of a tokenizer."""

        def __init__(self):
            self.eos_token_id, self.bos_token_id = tokenizer.special_tokens[END], None
            self.tokens = [tokenizer.vocab[i] for i in range(tokenizer.vocab_size)]
            self.special_token_ids = list(tokenizer.special_tokens.values())

        def __call__(self, text):
            return tokenizer.encode_bytes(text if isinstance(text, bytes) else text.encode())

    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Wrapped()))


def their_tokens(matcher, size):
    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    return set(np.flatnonzero(np.unpackbits(bits, bitorder="little")[:size]).tolist())


def compare(constraint, matcher, tokens, vocab):
    """Along a text: the sets of allowed tokens. Both then read the next of them."""
    running, size = constraint.begin(1, 10_000), constraint.vocab_size
    for token in [*tokens, None]:
        assert matcher.get_error() == ""
        ours = set(torch.nonzero(running.allowed()[0]).flatten().tolist())
        theirs, forced = their_tokens(matcher, size), matcher.compute_ff_bytes()
        if forced:  # where the text can go on in one way only, they allow one way to cut it
            assert theirs <= ours
            ours = {i for i in ours if not forced.startswith(vocab[i])} | theirs
        assert ours == theirs
        if token is None:
            return
        assert matcher.consume_token(token)
        running.advance(torch.tensor([token]))


@PARITY
@pytest.mark.parametrize(
    "pattern",
    [
        r"-?[1-9][0-9]{0,4}",
        r"(yes|no|perhaps)( (yes|no)){0,3}!?",
        r"[^aeiou ]{1,6}",
        r"([a-z]+, )*[A-Z中文]{2}",
        r"([a-z_]+ ){2}[0-9][0-9]?:[0-9]{2}",
    ],
)
def test_expressions(tokenizer, theirs, pattern):
    constraint = TokenConstraint.for_tokenizer(compile_regex(pattern), tokenizer, end=END)
    rng = random.Random(pattern)
    for _ in range(5):
        running, tokens = constraint.begin(1, 30), []
        while True:
            allowed = torch.nonzero(running.allowed()[0]).flatten().tolist()
            token = rng.choice(allowed)
            if token == constraint.end_id:
                break
            tokens.append(token)
            running.advance(torch.tensor([token]))
            if len(tokens) == 30:
                break
        grammar = llguidance.LLMatcher.grammar_from_regex(pattern)
        compare(constraint, llguidance.LLMatcher(theirs, grammar), tokens, tokenizer.vocab)


@PARITY
@pytest.mark.parametrize(
    "value",
    [
        {"name": "search", "tags": []},
        {"name": "calculator", "count": -31, "exact": True, "tags": ["river", "中文"]},
        {"name": "search", "count": 0, "tags": ['a "b"', "c\\\n"], "note": None},
        {"name": "search", "exact": False, "tags": ["", "éé", "12345678"], "note": "the end"},
    ],
)
def test_schemas(tokenizer, theirs, value):
    automaton = compile_schema(SCHEMA)
    constraint = TokenConstraint.for_tokenizer(automaton, tokenizer, end=END)
    grammar = llguidance.LLMatcher.grammar_from_json_schema(SCHEMA, STYLE)
    tokens = tokenizer.encode(json.dumps(value, ensure_ascii=False))
    compare(constraint, llguidance.LLMatcher(theirs, grammar), tokens, tokenizer.vocab)
