"""Learning merges: fast equals plain, and both are the definition."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.tokenizers import BPETokenizer
from llmlib.tokenizers.bpe_training import _lay_out, fast_merges, plain_merges
from llmlib.tokenizers.pair_index import PairIndex
from llmlib.tokenizers.pretokenize import RegexPreTokenizer
from llmlib.tokenizers.word_counts import count_words
from tests.tokenizers.samples import CHINESE, ENGLISH, TEXTS, TRAINING_TEXTS

word_counts = st.dictionaries(
    st.text(st.sampled_from("abcab é好"), min_size=1, max_size=14),
    st.integers(min_value=1, max_value=5),
    max_size=20,
)


@pytest.mark.parametrize("vector_from", [1, 10**9], ids=["arrays", "loop"])
@given(counts=word_counts)
def test_fast_equals_plain(vector_from, counts):
    usual = PairIndex.VECTOR_FROM
    PairIndex.VECTOR_FROM = vector_from
    try:
        assert fast_merges(counts, 330) == plain_merges(counts, 330)
    finally:
        PairIndex.VECTOR_FROM = usual


def test_fast_equals_plain_on_text():
    counts = count_words(TRAINING_TEXTS[:12] + list(TEXTS.values()), RegexPreTokenizer("gpt2"))
    assert fast_merges(counts, 600) == plain_merges(counts, 600)


@settings(max_examples=50)
@given(counts=word_counts)
def test_index_counts_are_those_of_a_recount(counts):
    """After every merge, all counts are what counting the words anew gives."""
    index = PairIndex(*_lay_out(counts), base=300)
    words = [(list(word.encode()), n) for word, n in counts.items()]
    for new in range(256, 262):
        recount = Counter()
        for word, n in words:
            for a, b in pairwise(word):
                recount[a * 300 + b] += n
        assert {key: n for key, n in index.counts.items() if n} == dict(recount)
        if not recount:
            break
        a, b = divmod(max(recount), 300)
        joins, _, _ = index.merge(a, b, new)
        assert joins == _join_all(words, a, b, new)


def _join_all(words, a, b, new):
    joins = 0
    for word, n in words:
        i = 0
        while i < len(word) - 1:
            if word[i : i + 2] == [a, b]:
                word[i : i + 2] = [new]
                joins += n
            i += 1
    return joins


def test_ties_go_to_the_greater_pair_of_byte_strings():
    assert fast_merges({"ab": 1, "cd": 1, "ef": 1}, 259) == [
        (b"e", b"f"),
        (b"c", b"d"),
        (b"a", b"b"),
    ]
    # "abc" is longer than "ab": the longer string is the greater.
    assert fast_merges({"abz": 3, "abcz": 3}, 260)[:3] == [
        (b"a", b"b"),
        (b"c", b"z"),
        (b"ab", b"z"),
    ]


def test_the_zero_byte_orders_below_a_longer_string():
    counts = {"a\x00": 2, "a\x00b": 2, "a": 1}
    assert fast_merges(counts, 260) == plain_merges(counts, 260)


def test_training_stops_when_no_pair_is_left():
    tokenizer = BPETokenizer.train(["aa"], 1000, ["<s>"])
    assert tokenizer.merges == [(b"a", b"a")]
    assert tokenizer.vocab_size == 258
    assert BPETokenizer.train([], 1000).vocab_size == 256


def test_ids_are_bytes_then_merges_then_special_tokens():
    tokenizer = BPETokenizer.train([ENGLISH, CHINESE], 300, ["<|a|>", "<|b|>"])
    assert [tokenizer.vocab[i] for i in range(256)] == [bytes([i]) for i in range(256)]
    assert [tokenizer.vocab[256 + i] for i in range(42)] == [a + b for a, b in tokenizer.merges]
    assert tokenizer.special_tokens == {"<|a|>": 298, "<|b|>": 299}
    assert tokenizer.vocab_size == len(tokenizer) == 300


def test_special_tokens_in_the_text_are_not_learned_from():
    text = "<|endoftext|>".join(["ab ab"] * 50)
    tokenizer = BPETokenizer.train([text], 300, ["<|endoftext|>"])
    assert tokenizer.merges == [(b"a", b"b"), (b" ", b"ab")]


def test_nothing_is_merged_across_texts_or_words():
    assert BPETokenizer.train(["a", "b"] * 9, 300).merges == []
    assert BPETokenizer.train(["a1" * 9], 300).merges == []


def test_where_texts_are_cut_does_not_matter_at_word_boundaries():
    whole = BPETokenizer.train([ENGLISH + "\n" + CHINESE], 400)
    parts = BPETokenizer.train(iter([ENGLISH, "\n" + CHINESE]), 400)
    assert whole.merges == parts.merges


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["text"], 255), "vocab_size 255 is less than 256"),
        ((["text"], 257, ["<a>", "<b>"]), "vocab_size 257 is less than 258: 256 bytes and 2 spec"),
        (("text", 300), r"texts is one string; pass a list of strings: \[text\]"),
        ((["text"], 300, "<a>"), r"special_tokens is the string '<a>'; pass a list: \['<a>'\]"),
        ((["text"], 300, [""]), "special token '' must be a string that is not empty"),
        ((["text"], 300, ["<a>", "<a>"]), "special token '<a>' is listed twice"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer.train(*arguments)
