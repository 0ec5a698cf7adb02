"""`encode_iterable`: the ids of the whole text, in bounded memory."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.tokenizers import BPETokenizer, UnigramTokenizer, WordPieceTokenizer
from llmlib.tokenizers.normalize import (
    BertNormalizer,
    Lowercase,
    NormalizerSequence,
    StripAccents,
    UnicodeNormalizer,
)
from llmlib.tokenizers.pretokenize import (
    BertPreTokenizer,
    MetaspacePreTokenizer,
    RegexPreTokenizer,
)
from tests.tokenizers.samples import CHINESE, ENGLISH, TEXTS, TRAINING_TEXTS, any_text

SPECIAL = ["<|endoftext|>", "<|end|>", "<|end|><|end|>", "好 的"]
NORMALIZERS = {
    "none": None,
    "NFC": UnicodeNormalizer("NFC"),
    "NFKD without accents": NormalizerSequence(
        [UnicodeNormalizer("NFKD"), StripAccents(), Lowercase()]
    ),
    "BERT": BertNormalizer(),
    "BERT on compatible": NormalizerSequence([UnicodeNormalizer("NFKC"), BertNormalizer()]),
}
BPE = BPETokenizer.train(TRAINING_TEXTS, 700, SPECIAL)
UNIGRAM = UnigramTokenizer.train(TRAINING_TEXTS[-8:], 900, SPECIAL)
WORDPIECE = WordPieceTokenizer.train(TRAINING_TEXTS[-8:], 1200, SPECIAL)


def build(words, normalizer):
    """A tokenizer with these words and this normalizer, on vocabularies trained above."""
    if isinstance(words, RegexPreTokenizer) and words.byte_level:
        return BPETokenizer(
            BPE.vocab,
            BPE.merges,
            BPE.special_tokens,
            pre_tokenizer=words,
            normalizer=normalizer,
        )
    if isinstance(words, MetaspacePreTokenizer):
        return UnigramTokenizer(
            UNIGRAM.vocab,
            UNIGRAM.scores,
            UNIGRAM.special_tokens,
            pre_tokenizer=words,
            normalizer=normalizer,
        )
    return WordPieceTokenizer(
        WORDPIECE.vocab, WORDPIECE.special_tokens, pre_tokenizer=words, normalizer=normalizer
    )


WORDS = {
    "gpt2": RegexPreTokenizer("gpt2"),
    "gpt2 with prefix": RegexPreTokenizer("gpt2", add_prefix_space=True),
    "gpt4": RegexPreTokenizer("gpt4"),
    "gpt4o": RegexPreTokenizer("gpt4o"),
    "unknown pattern": RegexPreTokenizer(r"\w+|\s+"),
    "bert": BertPreTokenizer(),
    "white space": RegexPreTokenizer(
        RegexPreTokenizer.NON_SPACE, byte_level=False, keep_gaps=False
    ),
    "word signs": RegexPreTokenizer(RegexPreTokenizer.WORDS, byte_level=False, keep_gaps=False),
    "metaspace": MetaspacePreTokenizer(),
    "metaspace, nothing before": MetaspacePreTokenizer(prepend="never"),
}


def tiny_chunks(tokenizer, size):
    tokenizer._special.chunk = size
    return tokenizer


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("words", WORDS)
@settings(max_examples=60)
@given(text=any_text, cuts=st.lists(st.integers(0, 200), max_size=8), chunk=st.integers(1, 20))
def test_ids_of_a_stream_are_those_of_the_text(words, normalizer, text, cuts, chunk):
    tokenizer = tiny_chunks(build(WORDS[words], NORMALIZERS[normalizer]), chunk)
    ends = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    stream = [text[a:b] for a, b in pairwise(ends)]
    assert list(tokenizer.encode_iterable(stream)) == tokenizer.encode(text)


@pytest.mark.parametrize("chunk", [1, 2, 7, 50, 1 << 13])
@pytest.mark.parametrize("words", WORDS)
def test_one_character_at_a_time(words, chunk):
    tokenizer = tiny_chunks(build(WORDS[words], None), chunk)
    text = "<|end|>".join([ENGLISH, CHINESE, *TEXTS.values()])
    assert list(tokenizer.encode_iterable(iter(text))) == tokenizer.encode(text)


def test_chinese_alone_may_be_cut_between_characters():
    tokenizer = tiny_chunks(WORDPIECE, 4)
    assert list(tokenizer.encode_iterable(CHINESE)) == tokenizer.encode(CHINESE)
    assert tokenizer._boundary.search("机器学习").start() == 3


def test_empty_streams_and_empty_strings():
    assert list(BPE.encode_iterable([])) == []
    assert list(BPE.encode_iterable(["", "", "a", ""])) == BPE.encode("a")


def test_a_template_stands_around_the_whole_stream():
    tokenizer = WordPieceTokenizer.from_vocab(
        dict(enumerate(["[UNK]", "[CLS]", "[SEP]", "a", "b"])),
        ["[UNK]", "[CLS]", "[SEP]"],
        template=["[CLS]", "$A", "[SEP]"],
    )
    assert list(tokenizer.encode_iterable(["a ", "b", " a"])) == [1, 3, 4, 3, 2]
    assert list(tokenizer.encode_iterable(["a"], add_special_tokens=False)) == [3]


def test_ids_come_before_the_stream_ends():
    given_out = []

    def stream():
        for i in range(1000):
            given_out.append(i)
            yield f"sentence number {i} of a long stream of words.\n"

    next(BPE.encode_iterable(stream()))
    assert len(given_out) < 250


@pytest.mark.parametrize("kind", ["lines", "one long string", "special tokens"])
def test_memory_does_not_grow_with_the_stream(kind):
    line = ENGLISH.replace("\n", " ") + "\n"
    tokenizer = BPETokenizer.from_vocab(BPE.vocab, BPE.merges, SPECIAL)

    def peak(lines):
        stream = (
            line + ("<|endoftext|>" if kind == "special tokens" else "") for _ in range(lines)
        )
        if kind == "one long string":
            stream = ["".join(stream)]
        tracemalloc.start()
        count = sum(1 for _ in tokenizer.encode_iterable(stream))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return count, used

    few, _ = peak(10)
    many, used = peak(6_000)  # a million characters
    assert many > 400 * few
    assert used < 1_000_000


def test_the_cache_is_bounded():
    """Every word is new: the cache fills, and then forgets the oldest."""
    tokenizer = BPETokenizer.from_vocab(BPE.vocab, BPE.merges)
    letters = str.maketrans("0123456789", "abcdefghij")
    words = [f" {i}".translate(letters) for i in range(40_000)]
    assert sum(1 for _ in tokenizer.encode_iterable(words)) > 40_000
    cache = tokenizer._cache
    assert len(cache) <= 2 * cache.limit <= 1 << 15
    assert cache.find({words[-1], words[-1 - cache.limit], words[0]}).keys() == {
        words[-1],
        words[-1 - cache.limit],
    }
    tokenizer.encode("a" * 1000)
    assert cache.find({"a" * 1000}) == {}
