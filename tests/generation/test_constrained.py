"""Constrained decoding: always in the language, for any model, at any temperature and limit."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmlib.generation import (
    TokenConstraint,
    allowed_tokens,
    compile_regex,
    compile_schema,
    generate,
    stream,
)
from llmlib.models import GPT, GPTConfig
from llmlib.tokenizers import BPETokenizer

END = "<|end|>"


@pytest.fixture(scope="module")
def tokenizer():
    texts = [
        '{"name": "search", "arguments": {"query": "Tarobe"}} 17 + 25 = 42, true false null',
        "the river, the mountain and the 中文 story of 1984 [1, 2, 3] été naïve",
    ]
    return BPETokenizer.train(texts * 3, 330, special_tokens=[END, "<|user|>"])


# --- regular expressions against re ---

ATOMS = st.sampled_from(
    [*"abc01é中", r"\d", r"\w", r"\s", r"\S", r"\W", r"\.", r"\n", ".", "[a-c]", "[^ab]", "[é-中]",
     r"[\d_]", "[]a]", "[a-]", r"[^\w]"]
)  # fmt: skip
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda p: "(" + "|".join(p) + ")"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(PATTERNS, st.lists(st.text(alphabet="abc01é中_ .\n-]😀", max_size=6), max_size=20))
def test_an_expression_matches_what_re_matches(pattern, texts):
    automaton = compile_regex(pattern)
    for text in ["", "a", "é", *texts]:
        assert automaton.matches(text) == bool(re.fullmatch(pattern, text, re.ASCII)), text


@pytest.mark.parametrize(
    "c", [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]
)
def test_every_length_of_characters(c):
    inside = compile_regex(f"[\\U{max(c - 1, 0):08x}-\\U{min(c + 1, 0x10FFFF):08x}]")
    outside = compile_regex(f"[^\\U{c:08x}]")
    assert inside.matches(chr(c))
    assert not outside.matches(chr(c))
    for other in (c - 2, c + 2):
        if 0 <= other <= 0x10FFFF and not 0xD800 <= other <= 0xDFFF:
            assert not inside.matches(chr(other))
            assert outside.matches(chr(other))


def test_only_utf8_is_read():
    automaton = compile_regex("(.|\n)*")
    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe4\xb8"):
        assert not automaton.matches(bad)
    assert automaton.matches("中".encode())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a", r"expected \)"),
        ("a)", "closes nothing"),
        ("*a", "nothing to repeat"),
        ("a**", "second quantifier"),
        ("a+?", "second quantifier"),
        ("[a", r"expected \]"),
        ("[b-a]", "no range"),
        ("a{3,1}", "no range"),
        ("a{x}", "expected a number"),
        ("(?=a)", r"only \( and \(\?:"),
        (r"\bword", "not supported"),
        (r"(a)\1", "not supported"),
        ("a^b", "anchors"),
        ("a$b", "anchors"),
        ("\\", "backslash"),
        (r"\xg0", "digits"),
        ("[^\\s\\S]", "no text is in this language"),
        ("(a{1000}){50}", "more than 20000 states"),
    ],
)
def test_wrong_expressions(pattern, message):
    with pytest.raises(ValueError, match=message):
        compile_regex(pattern)


def test_from_every_living_state_a_text_can_be_completed():
    automaton = compile_regex("a[^\\s\\S]|b(c|d[^\\s\\S])")  # a leads nowhere, nor does bd
    assert automaton.matches("bc")
    assert automaton.read("a") == 0
    assert automaton.read("bd") == 0


# --- JSON schemas ---

TOOLS = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "name": {"const": name},
                "arguments": {
                    "type": "object",
                    "properties": {argument: {"type": "string", "maxLength": 20}},
                    "required": [argument],
                },
            },
            "required": ["name", "arguments"],
        }
        for name, argument in (("search", "query"), ("calculator", "expression"))
    ]
}
SCHEMAS = {
    "tools": TOOLS,
    "optional": {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "boolean"},
            "c": {"type": ["string", "null"], "maxLength": 3},
        },
        "required": ["b"],
    },
    "all optional": {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"enum": [1, "x", None]}},
    },
    "array": {
        "type": "array",
        "minItems": 1,
        "maxItems": 3,
        "items": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]},
    },
    "pattern": {"type": "string", "pattern": "^[A-Z][^0-9]{1,4}$"},
    "reference": {
        "$defs": {"p": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}},
        "type": "object",
        "properties": {"from": {"$ref": "#/$defs/p"}, "to": {"$ref": "#/$defs/p"}},
        "required": ["from", "to"],
    },
    "empty": {"type": "object", "properties": {}},
    "no items": {"type": "array", "items": {"type": "integer"}, "maxItems": 0},
}


def errors(value, schema, defs=None):
    """Whether a value fits a schema, written without automata: an independent check."""
    defs = schema.get("$defs", defs or {})
    if "$ref" in schema:
        return errors(value, defs[schema["$ref"].rsplit("/", 1)[1]], defs)
    if "anyOf" in schema:
        return all(errors(value, part, defs) for part in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value not in schema.get("enum", [schema.get("const")])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer",
            float: "number", type(None): "null"}[type(value)]  # fmt: skip
    if kind not in kinds and not (kind == "integer" and "number" in kinds):
        return True
    if kind == "object":
        return (
            set(value) - set(schema["properties"])
            or set(schema.get("required", ())) - set(value)
            or any(errors(v, schema["properties"][k], defs) for k, v in value.items())
        )
    if kind == "array":
        return not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9) or any(
            errors(item, schema["items"], defs) for item in value
        )
    if kind == "string" and "pattern" in schema:
        return not re.fullmatch(schema["pattern"], value)
    return kind == "string" and len(value) > schema.get("maxLength", 10**9)


@pytest.fixture(scope="module")
def constraints(tokenizer):
    return {
        name: TokenConstraint.for_tokenizer(compile_schema(schema), tokenizer, end=END)
        for name, schema in SCHEMAS.items()
    }


class Contrary:
    """A model that knows nothing: its logits are drawn anew at every step, some of them absurd."""

    def __init__(self, seed, size, scale, *, absurd):
        self.generator = torch.Generator().manual_seed(seed)
        self.size, self.scale, self.absurd = size, scale, absurd

    def __call__(self, ids):
        logits = self.scale * torch.randn(*ids.shape, self.size, generator=self.generator)
        if self.absurd:
            odd = torch.rand(logits.shape, generator=self.generator)
            logits[odd < 0.3] = -torch.inf
            logits[odd > 0.9] = torch.inf
            logits[(odd > 0.5) & (odd < 0.6)] = torch.nan
        return logits


def written(tokenizer, row):
    """Text of a row, and whether it ended before the limit."""
    end = tokenizer.special_tokens[END]
    ids = row.tolist()
    text = ids[: ids.index(end)] if end in ids else ids
    assert all(i == end for i in ids[len(text) :])
    assert not set(text) & set(tokenizer.special_tokens.values())
    return tokenizer.decode_bytes(text).decode()  # strict: it is valid UTF-8


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(SCHEMAS)),
    st.integers(0, 2**32),
    st.one_of(st.just(0.0), st.floats(0, 1e6)),
    st.sampled_from([0.0, 0.01, 1.0, 100.0, 1e30]),
    st.integers(0, 150),
    st.booleans(),
)
def test_the_output_always_parses(
    tokenizer, constraints, name, seed, temperature, scale, more, absurd
):
    constraint = constraints[name]
    ids = generate(
        Contrary(seed, tokenizer.vocab_size, scale, absurd=absurd),
        torch.zeros(2, 1, dtype=torch.long),
        max_new_tokens=constraint.text_bound + more,
        temperature=temperature,
        constraint=constraint,
        generator=torch.Generator().manual_seed(seed),
    )
    for row in ids[:, 1:]:
        text = written(tokenizer, row)
        value = json.loads(text)
        assert not errors(value, SCHEMAS[name]), text
        assert constraint.automaton.matches(text)


@settings(deadline=None, max_examples=100)
@given(PATTERNS, st.integers(0, 2**32), st.floats(0, 10), st.integers(0, 20))
def test_the_output_always_matches(tokenizer, pattern, seed, temperature, more):
    constraint = TokenConstraint.for_tokenizer(compile_regex(pattern), tokenizer, end=END)
    assume(constraint.text_bound + more > 0)
    ids = generate(
        Contrary(seed, tokenizer.vocab_size, 3.0, absurd=False),
        torch.zeros(1, 1, dtype=torch.long),
        max_new_tokens=constraint.text_bound + more,
        temperature=temperature,
        top_k=5,
        top_p=0.9,
        repetition_penalty=1.3,
        constraint=constraint,
        generator=torch.Generator().manual_seed(seed),
    )
    assert re.fullmatch(pattern, written(tokenizer, ids[0, 1:]), re.ASCII)


def test_what_a_text_holds_can_be_read_back(constraints, tokenizer):
    """Every text of the language can be written: nothing is refused that fits."""
    fitting = {
        "tools": ['{"name": "search", "arguments": {"query": "Ta\\"ro\\\\be 中 é 😀"}}'],
        "optional": ['{"b": true}', '{"a": -5, "b": false}', '{"a": 0, "b": true, "c": null}',
                     '{"b": true, "c": "x"}'],
        "all optional": ["{}", '{"a": null}', '{"b": "x"}', '{"a": null, "b": 1}'],
        "array": ['[{"n": 1.5e-3}]', '[{"n": 0}, {"n": -12.25}]'],
        "no items": ["[]"],
    }  # fmt: skip
    for name, texts in fitting.items():
        constraint = constraints[name]
        for text in texts:
            running = constraint.begin(1, 200)
            for token in tokenizer.encode(text):
                assert running.allowed()[0, token], (name, text, token)
                running.advance(torch.tensor([token]))
            assert running.allowed()[0, constraint.end_id]
    for name, texts in {
        "optional": ['{"a": 1}', '{"b": true, "a": 1}', '{"a": 01, "b": true}', '{"b": true,}'],
        "array": ["[]", '[{"n": 1}, {"n": 1}, {"n": 1}, {"n": 1}]', '[{"n": .5}]'],
        "pattern": ['"a"', '"A1"', '"A\n"', '"A""'],
    }.items():
        for text in texts:
            assert not constraints[name].automaton.matches(text), text


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "date"}, "'date' is not supported"),
        ({}, "type None"),
        ({"type": "string", "format": "email"}, "'format'"),
        ({"type": "integer", "minimum": 3}, "'minimum'"),
        ({"type": "array"}, "needs items"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "not in properties"),
        ({"type": "object", "additionalProperties": True}, "other fields"),
        ({"type": "string", "pattern": "a"}, r"write \^…\$"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "no text has both"),
        ({"$ref": "#/$defs/x"}, "there are definitions for"),
        (
            {
                "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}},
                "$ref": "#/$defs/t",
            },
            "inside itself",
        ),
        ({"anyOf": []}, "no text"),
        ([], "no schema"),
    ],
)
def test_wrong_schemas(schema, message):
    with pytest.raises(ValueError, match=message):
        compile_schema(schema)


# --- tokens ---


@pytest.mark.parametrize("pattern", [r"-?\d{1,3}(, -?\d{1,3})*", '[^"]{0,9}', "(ab|中文|té)+"])
def test_tokens_equal_the_plain_version(tokenizer, pattern):
    automaton = compile_regex(pattern)
    constraint = TokenConstraint.for_tokenizer(automaton, tokenizer, end=END)
    special = set(tokenizer.special_tokens.values())
    text = {i: piece for i, piece in tokenizer.vocab.items() if i not in special}
    for state in range(len(automaton)):
        allowed = set(np.flatnonzero(constraint.next_state(state)).tolist())
        assert allowed == allowed_tokens(automaton, text, state)
        for token in list(allowed)[:20]:
            assert constraint.next_state(state)[token] == automaton.read(text[token], state)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(SCHEMAS)), st.integers(0, 2**32), st.integers(0, 60))
def test_states_worked_out_when_met(tokenizer, constraints, name, seed, more):
    """The same masks while there is room, and an end in time as well."""
    automaton = constraints[name].automaton
    quick = TokenConstraint.for_tokenizer(automaton, tokenizer, end=END, beforehand=False)
    for state in (1, len(automaton) // 2, len(automaton) - 1):
        assert (quick.next_state(state) == constraints[name].next_state(state)).all()
    assert (quick.distance >= constraints[name].distance).all()
    ids = generate(
        Contrary(seed, tokenizer.vocab_size, 2.0, absurd=False),
        torch.zeros(1, 1, dtype=torch.long),
        max_new_tokens=quick.text_bound + more,
        constraint=quick,
        generator=torch.Generator().manual_seed(seed),
    )
    assert not errors(json.loads(written(tokenizer, ids[0, 1:])), SCHEMAS[name])


def test_distances_are_the_fewest_tokens(tokenizer):
    """Against trying out all texts of up to three tokens."""
    vocab = dict(enumerate([b"a", b"b", b"ab", b"ba", b"abb"]))
    automaton = compile_regex("abba|(abb){3}")
    constraint = TokenConstraint(automaton, vocab, end_id=9)
    for state in range(1, len(automaton)):
        fewest = next(
            count
            for count in range(10)
            if any(
                automaton.accepting[automaton.read(b"".join(vocab[i] for i in ids), state)]
                for ids in itertools.product(vocab, repeat=count)
            )
        )
        assert constraint.distance[state] == fewest


def test_probabilities_of_allowed_tokens_keep_their_ratio(tokenizer):
    constraint = TokenConstraint.for_tokenizer(compile_regex("a|b"), tokenizer, end=END)
    logits = torch.randn(1, tokenizer.vocab_size, generator=torch.Generator().manual_seed(0))
    probabilities = constraint.begin(1, 5).confine(logits).softmax(-1)[0]
    a, b = ord("a"), ord("b")
    expected = logits[0, [a, b]].softmax(-1)
    torch.testing.assert_close(probabilities[[a, b]], expected)
    assert int((probabilities > 0).sum()) == 2


def test_greedy_writes_what_the_model_wants_where_it_may(tokenizer):
    """A model whose text fits is left alone."""
    text = '{"name": "search", "arguments": {"query": "river"}}'
    ids = [*tokenizer.encode(text), tokenizer.special_tokens[END]]

    def model(given):
        wanted = ids[min(given.shape[1] - 1, len(ids) - 1)]
        return 5.0 * torch.nn.functional.one_hot(
            torch.full(given.shape, wanted), tokenizer.vocab_size
        )

    constraint = TokenConstraint.for_tokenizer(compile_schema(TOOLS), tokenizer, end=END)
    made = generate(
        model, torch.zeros(1, 1, dtype=torch.long), max_new_tokens=100, temperature=0,
        constraint=constraint,
    )  # fmt: skip
    assert made[0, 1:].tolist() == ids


@pytest.mark.parametrize("cache", [True, False])
def test_a_real_model_in_a_batch(tokenizer, cache):
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context_length=128, dim=16, num_layers=1,
                          num_heads=2))  # fmt: skip
    constraint = TokenConstraint.for_tokenizer(compile_schema(TOOLS), tokenizer, end=END)
    ids = generate(
        model, torch.ones(4, 3, dtype=torch.long), max_new_tokens=60, cache=cache,
        constraint=constraint, generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    texts = [written(tokenizer, row) for row in ids[:, 3:]]
    assert all(not errors(json.loads(text), TOOLS) for text in texts)
    assert len(set(texts)) == 4
    tokens = stream(model, torch.ones(1, 3, dtype=torch.long), max_new_tokens=60,
                    constraint=constraint, generator=torch.Generator().manual_seed(1))  # fmt: skip
    assert json.loads(written(tokenizer, torch.cat(list(tokens))))


def test_what_cannot_work_is_refused(tokenizer):
    constraint = TokenConstraint.for_tokenizer(compile_regex("a{20}"), tokenizer, end=END)
    model = Contrary(0, tokenizer.vocab_size, 1.0, absurd=False)
    prompt = torch.zeros(1, 1, dtype=torch.long)
    with pytest.raises(ValueError, match=f"has {constraint.text_bound} tokens"):
        generate(model, prompt, max_new_tokens=constraint.text_bound - 1, constraint=constraint)
    with pytest.raises(ValueError, match=r"stop_ids \[10\]"):
        generate(model, prompt, max_new_tokens=40, stop_ids=[10], constraint=constraint)
    with pytest.raises(ValueError, match="the model gives 300 logits"):
        generate(
            Contrary(0, 300, 1.0, absurd=False), prompt, max_new_tokens=40, constraint=constraint
        )
    with pytest.raises(ValueError, match="can be written"):
        TokenConstraint(compile_regex("abc"), {0: b"a", 1: b"b"}, end_id=2)
    with pytest.raises(ValueError, match="each byte is a token"):
        TokenConstraint(compile_regex("a"), {0: b"a"}, end_id=2, beforehand=False)
    with pytest.raises(ValueError, match="too many for a"):
        TokenConstraint(compile_regex("a{9000}"), {100_000: b"a"}, end_id=2)
