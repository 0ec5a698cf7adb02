"""Counting words: what training sees is what encoding will see."""

import tracemalloc
from collections import Counter

import pytest

from llmlib.tokenizers.normalize import BertNormalizer
from llmlib.tokenizers.pretokenize import (
    BertPreTokenizer,
    MetaspacePreTokenizer,
    RegexPreTokenizer,
)
from llmlib.tokenizers.word_counts import count_words
from tests.tokenizers.samples import CHINESE, ENGLISH, TEXTS


@pytest.mark.parametrize(
    ("words", "normalizer"),
    [
        (RegexPreTokenizer("gpt2"), None),
        (RegexPreTokenizer("gpt4"), None),
        (BertPreTokenizer(), BertNormalizer()),
        (MetaspacePreTokenizer(), None),
    ],
)
def test_long_texts_are_counted_in_parts_without_a_difference(words, normalizer):
    part = "<|end|>".join([ENGLISH, CHINESE, *TEXTS.values()])
    text = part * (3_000_000 // len(part))
    expected = Counter()
    for section in text.split("<|end|>"):
        section = section if normalizer is None else normalizer.normalize(section)
        if section:
            expected.update(words.split(words.begin(section)))
    assert count_words([text], words, ["<|end|>"], normalizer) == expected


def test_memory_does_not_grow_with_the_text():
    def peak(text):
        tracemalloc.start()
        count_words([text], RegexPreTokenizer("gpt2"))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(ENGLISH * 16_000) < 1.2 * peak(ENGLISH * 8_000)
