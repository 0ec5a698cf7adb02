"""Byte-level BPE: ids by the definition, round trips, special tokens, any bytes."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmlib.tokenizers import BPETokenizer
from llmlib.tokenizers.bpe_merging import MergeTable, plain_merge_word
from llmlib.tokenizers.bpe_training import plain_merges
from llmlib.tokenizers.tokenizer import WordCache
from tests.tokenizers.samples import CHINESE, ENGLISH, TEXTS, TRAINING_TEXTS, any_text

BYTES = {i: bytes([i]) for i in range(256)}


@pytest.fixture(scope="module", params=["gpt2", "gpt4", "qwen2", "gpt4o"])
def tokenizer(request):
    special = ["<|endoftext|>", "<|end|>"]
    return BPETokenizer.train(TRAINING_TEXTS, 1500, special, pattern=request.param)


def by_definition(tokenizer, text):
    """Ids of a text without special tokens, word by word, with the plain merges."""
    ids = {token: i for i, token in tokenizer.vocab.items()}
    words = tokenizer.pre_tokenizer.split(text)
    return [ids[t] for w in words for t in plain_merge_word(w.encode(), tokenizer.merges)]


@pytest.mark.parametrize("name", [n for n in TEXTS if n not in ("looks special", "repeats")])
def test_ids_are_those_of_the_definition(tokenizer, name):
    assert tokenizer.encode(TEXTS[name]) == by_definition(tokenizer, TEXTS[name])


@given(text=st.text(st.sampled_from("thesingabc \n'好的你👍é0"), max_size=40))
def test_any_word_is_merged_by_the_definition(tokenizer, text):
    assert tokenizer.encode(text) == by_definition(tokenizer, text)


word = st.text(st.sampled_from("abcé好"), min_size=1, max_size=40)


@given(
    words=st.lists(word, max_size=8),
    counts=st.dictionaries(
        st.text(st.sampled_from("abcé好"), min_size=2, max_size=9), st.integers(1, 4), max_size=12
    ),
)
def test_list_heap_and_matrix_merge_as_the_definition(words, counts):
    merges = plain_merges(counts, 290)
    tokens = dict.fromkeys([*BYTES.values(), *(a + b for a, b in merges)])
    ids = dict(zip(tokens, range(len(tokens)), strict=True))
    expected = [[ids[token] for token in plain_merge_word(w.encode(), merges)] for w in words]
    table = MergeTable(dict(enumerate(tokens)), merges)
    words = [w.encode() for w in words]
    for long, many, rows in [(10**9, 10**9, 1), (2, 10**9, 1), (10**9, 0, 3), (30, 2, 4096)]:
        table.LONG, table.MANY, table.ROWS = long, many, rows
        assert table.merge_many(words) == expected


def test_a_matrix_of_all_words_of_a_text(tokenizer):
    words = [w.encode() for t in TEXTS.values() for w in tokenizer.pre_tokenizer.split(t)]
    table = tokenizer._table
    assert len(words) > table.MANY
    assert table.merge_many(words) == [table.merge(w) for w in words]


def test_ill_ordered_merges_are_applied_by_rank_from_the_left():
    """A merge may come before those that make its parts: the lowest rank still goes first."""
    merges = [(b"aa", b"a"), (b"a", b"a")]
    vocab = BYTES | {256: b"aa", 257: b"aaa"}
    tokenizer = BPETokenizer.from_vocab(vocab, merges)
    assert tokenizer.encode("aaaa") == [257, 97]
    assert tokenizer.encode("a" * 400) == [257] * 133 + [97]


@given(text=any_text)
def test_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(data=st.binary(max_size=200))
def test_round_trip_of_any_bytes(tokenizer, data):
    ids = tokenizer.encode_bytes(data)
    assert tokenizer.decode_bytes(ids) == data
    assert tokenizer.decode(ids) == data.decode("utf-8", "replace")


@given(text=any_text)
def test_bytes_of_a_text_are_encoded_like_the_text(tokenizer, text):
    assert tokenizer.encode_bytes(text.encode()) == tokenizer.encode(text)


def test_bytes_that_are_no_text_join_the_word_before():
    vocab = BYTES | {256: b"a\xff", 257: b" \xff", 258: b"\xffb"}
    merges = [(b"a", b"\xff"), (b" ", b"\xff"), (b"\xff", b"b")]
    tokenizer = BPETokenizer.from_vocab(vocab, merges, ["<s>"])
    assert tokenizer.encode_bytes(b"a\xff") == [256]
    assert tokenizer.encode_bytes(b"a \xff") == [97, 257]
    assert tokenizer.encode_bytes(b"<s>\xffb") == [259, 258]
    assert tokenizer.encode_bytes(b"\xff<s>") == [255, *b"<s>"]


@given(
    ids=st.lists(st.integers(0, 1499), max_size=20),
)
def test_any_ids_decode_to_their_bytes(tokenizer, ids):
    data = b"".join(tokenizer.vocab[i] for i in ids)
    assert tokenizer.decode(ids) == data.decode("utf-8", "replace")


def test_arrays_and_tensors_decode(tokenizer):
    ids = tokenizer.encode("ships at sea")
    assert tokenizer.decode(np.array(ids)) == "ships at sea"
    assert tokenizer.decode(torch.tensor(ids)) == "ships at sea"
    assert tokenizer.decode_bytes(torch.tensor(ids)) == b"ships at sea"


def test_special_tokens_are_never_split(tokenizer):
    end, stop = tokenizer.special_tokens["<|endoftext|>"], tokenizer.special_tokens["<|end|>"]
    ids = tokenizer.encode("a<|endoftext|><|end|> <|endoftext|>b")
    assert [i for i in ids if i in (end, stop)] == [end, stop, end]
    assert tokenizer.decode(ids) == "a<|endoftext|><|end|> <|endoftext|>b"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a b"


def test_no_merge_crosses_a_special_token(tokenizer):
    parts = [ENGLISH, CHINESE, "x"]
    apart = [i for p in parts for i in [*tokenizer.encode(p), tokenizer.encode("<|end|>")[0]]]
    assert tokenizer.encode("".join(p + "<|end|>" for p in parts)) == apart


def test_ordinary_text_never_gives_a_special_id(tokenizer):
    special = set(tokenizer.special_tokens.values())
    for text in ["<|endoftext", "|endoftext|>", "<| endoftext |>", "<|END|>", ENGLISH, CHINESE]:
        assert special.isdisjoint(tokenizer.encode(text))


def test_the_longest_special_token_wins():
    special = ["<s>", "<s><s>", "<s>x"]
    tokenizer = BPETokenizer.from_vocab(BYTES, [], special)
    assert tokenizer.encode("<s><s><s>x<s>") == [257, 258, 256]
    assert list(tokenizer.encode_iterable("<s><s><s>x<s>")) == [257, 258, 256]


def test_special_tokens_may_hold_anything():
    special = ["a b", "\n", "好", ".*", "(", "<|é|>"]
    tokenizer = BPETokenizer.from_vocab(BYTES, [], special)
    text = "a b\n好.*(<|é|>"
    assert tokenizer.encode(text) == [256, 10, 257, 258, 40, 259]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_from_vocab_keeps_ids_and_adds_missing_special_tokens():
    vocab = {1000 - i: token for i, token in BYTES.items()} | {5: b"ab", 7: b"<|endoftext|>"}
    tokenizer = BPETokenizer.from_vocab(vocab, [(b"a", b"b")], ["<|endoftext|>", "<pad>"])
    assert tokenizer.special_tokens == {"<|endoftext|>": 7, "<pad>": 1001}
    assert tokenizer.encode("ab<|endoftext|>c<pad>") == [5, 7, 1000 - ord("c"), 1001]
    assert tokenizer.vocab_size == 1002
    assert 1001 not in vocab  # the caller's dictionary is left alone


def test_from_vocab_accepts_no_special_tokens_as_none():
    assert BPETokenizer.from_vocab(BYTES, [], None).encode("hi") == [104, 105]


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [
        (BYTES, [(b"a", b"b")], r"merge 0, b'a' \+ b'b', needs the token b'ab', which is not in"),
        (BYTES | {256: b"abc"}, [(b"ab", b"c")], "needs the token b'ab'"),
        (BYTES | {256: b"a"}, [], "ids 97 and 256 both stand for b'a'"),
        (BYTES | {2**31: b"ab"}, [], r"id 2147483648 of b'ab' must be from 0 to 2\*\*31 - 1"),
        (BYTES | {-1: b"ab"}, [], "id -1 of b'ab' must be from 0"),
    ],
)
def test_from_vocab_refuses_contradictions(vocab, merges, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer.from_vocab(vocab, merges)


def test_a_byte_that_is_missing_is_an_error_not_a_gap():
    tokenizer = BPETokenizer.from_vocab({0: b"a", 1: b"b"}, [])
    assert tokenizer.encode("ab") == [0, 1]
    with pytest.raises(ValueError, match="byte 0x63 is not in the vocabulary"):
        tokenizer.encode("abc")


@pytest.mark.parametrize("unknown", [1500, 10**9, -1])
def test_ids_outside_the_vocabulary_are_named(tokenizer, unknown):
    message = rf"id {unknown} is not in the vocabulary \(ids 0 to 1499\)"
    with pytest.raises(ValueError, match=message):
        tokenizer.decode([5, unknown])
    with pytest.raises(ValueError, match=message):
        tokenizer.decode_bytes([5, unknown])


@pytest.mark.parametrize("text", ["\ud800", "ab\udc80", "x\udfffy \ud83d"])
def test_half_a_surrogate_pair_is_named(tokenizer, text):
    half = next(c for c in text if 0xD800 <= ord(c) < 0xE000)
    with pytest.raises(ValueError, match=f"U\\+{ord(half):04X}, half of a surrogate pair"):
        tokenizer.encode(text)


@pytest.mark.parametrize("text", [b"bytes", None, 7, ["a"]])
def test_only_strings_are_encoded(tokenizer, text):
    with pytest.raises(ValueError, match="encode takes a string, not"):
        tokenizer.encode(text)


def test_the_cache_changes_nothing(tokenizer):
    fresh = BPETokenizer.from_vocab(
        tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens, pattern="gpt2"
    )
    cold = fresh.encode(ENGLISH)
    fresh._cache = WordCache(limit=3)
    assert fresh.encode(ENGLISH) == cold
    assert fresh.encode(ENGLISH) == cold
    assert 0 < len(fresh._cache) <= 6


def test_returned_ids_can_be_changed_without_harm(tokenizer):
    ids = tokenizer.encode("word")
    ids.append(0)
    assert tokenizer.encode("word") == ids[:-1]


def test_one_endless_word_does_not_take_quadratic_time(tokenizer):
    def seconds(n):
        word = "ab" * n
        start = time.process_time()
        tokenizer.encode(word)
        return time.process_time() - start

    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(2)) < 30 * small  # 8 times the length; 64 if squared
