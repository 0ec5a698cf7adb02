"""Words: where they are cut, and where a text may be cut without changing them."""

from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from llmlib.tokenizers.byte_alphabet import byte_to_unicode, bytes_to_text, text_to_bytes
from llmlib.tokenizers.pretokenize import (
    GPT2_PATTERN,
    SAFE_BOUNDARIES,
    BertPreTokenizer,
    MetaspacePreTokenizer,
    RegexPreTokenizer,
)
from tests.tokenizers.samples import TEXTS, any_text

NAMES = sorted(RegexPreTokenizer.NAMES)


def test_each_byte_has_its_own_visible_character():
    table = byte_to_unicode()
    assert len(set(table)) == 256
    assert all(character.isprintable() and not character.isspace() for character in table)
    assert [b for b in range(256) if table[b] == chr(b)] == [
        *range(0x21, 0x7F),
        *range(0xA1, 0xAD),
        *range(0xAE, 0x100),
    ]


@given(st.binary())
def test_bytes_as_text_and_back(data):
    assert text_to_bytes(bytes_to_text(data)) == data


def test_a_character_outside_the_table_is_refused():
    with pytest.raises(ValueError, match="'好', which stands for no byte"):
        text_to_bytes("好")


@pytest.mark.parametrize("name", NAMES)
@given(text=any_text)
def test_words_of_a_byte_level_pattern_are_the_whole_text(name, text):
    assert "".join(RegexPreTokenizer(name).split(text)) == text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gpt2", "They'll've 12345", ["They", "'ll", "'ve", " 12345"]),
        ("gpt2", "THEY'LL", ["THEY", "'", "LL"]),
        ("gpt4", "THEY'LL", ["THEY", "'LL"]),
        ("gpt4", "12345", ["123", "45"]),
        ("qwen2", "12345", ["1", "2", "3", "4", "5"]),
        ("gpt4", "x.\n\ny", ["x", ".\n\n", "y"]),
        ("gpt2", "x.\n\ny", ["x", ".", "\n", "\n", "y"]),
        ("gpt4", "(word", ["(word"]),
        ("gpt2", "(word", ["(", "word"]),
        ("gpt4o", "camelCase", ["camel", "Case"]),
        ("gpt4o", "don't", ["don't"]),
        ("gpt2", "a   b", ["a", "  ", " b"]),
        ("gpt2", "a   ", ["a", "   "]),
        ("gpt2", "好的 ok", ["好的", " ok"]),
    ],
)
def test_published_patterns(name, text, words):
    assert RegexPreTokenizer(name).split(text) == words


@pytest.mark.parametrize("pattern", SAFE_BOUNDARIES)
@given(text=any_text)
def test_a_cut_at_a_safe_boundary_changes_no_word(pattern, text):
    words = RegexPreTokenizer(pattern)
    whole = words.split(text)
    boundary = regex.compile(SAFE_BOUNDARIES[pattern])
    for match in boundary.finditer(text):
        cut = match.start()
        assert words.split(text[:cut]) + words.split(text[cut:]) == whole


@pytest.mark.parametrize("pattern", SAFE_BOUNDARIES)
@pytest.mark.parametrize("name", ["english", "chinese", "mixed", "emoji", "code"])
def test_ordinary_text_has_safe_boundaries_close_together(pattern, name):
    boundary = RegexPreTokenizer(pattern).safe_boundary(None)
    cuts = [0, *sorted(m.start() for m in boundary.finditer(TEXTS[name])), len(TEXTS[name])]
    assert max(b - a for a, b in pairwise(cuts)) <= 32


def test_an_unknown_pattern_has_no_safe_boundary_and_still_loses_nothing():
    words = RegexPreTokenizer(r"[a-z]+(x)?")
    assert words.safe_boundary(None) is None
    assert words.split("1ab xx2") == ["1", "ab", " ", "xx", "2"]


def test_a_pattern_that_does_not_compile_is_refused():
    with pytest.raises(ValueError, match=r"'\(\[' is no valid regular expression"):
        RegexPreTokenizer("([")


def test_a_prefix_space_needs_the_pattern_of_gpt2():
    with pytest.raises(ValueError, match=r"add_prefix_space with the pattern .* cannot be"):
        RegexPreTokenizer("gpt4", add_prefix_space=True)


def test_prefix_space():
    words = RegexPreTokenizer("gpt2", add_prefix_space=True)
    assert words.begin("so it") == " so it"
    assert words.begin(" so it") == " so it"
    assert RegexPreTokenizer(GPT2_PATTERN).begin("so it") == "so it"


def test_bert_words():
    assert BertPreTokenizer().split(" a,b  c\u3000d¿e ") == ["a", ",", "b", "c", "d", "¿", "e"]


@pytest.mark.parametrize(
    ("prepend", "text", "words"),
    [
        ("always", "a b", ["▁a", "▁b"]),
        ("always", " a b", ["▁a", "▁b"]),
        ("never", "a b", ["a", "▁b"]),
        ("always", "a  b ", ["▁a", "▁", "▁b", "▁"]),
        ("always", "a\nb", ["▁a\nb"]),
    ],
)
def test_metaspace_words(prepend, text, words):
    metaspace = MetaspacePreTokenizer(prepend=prepend)
    assert metaspace.split(metaspace.begin(text)) == words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replacement": "__"}, "'__' must be one character"),
        ({"prepend": "first"}, "'first' is not known: use 'always' or 'never'"),
    ],
)
def test_metaspace_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        MetaspacePreTokenizer(**arguments)
