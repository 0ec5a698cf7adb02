"""The parallel corpus: determinism, order, agreement of measure words, alignment."""

import pytest

from llmlib.data.translation import _MEASURES, _WORDS, parallel_corpus, split_corpus

CORPUS = parallel_corpus(4000, seed=3)


def text(pair):
    return " ".join(pair.english), "".join(pair.chinese)


def test_same_seed_same_corpus_and_longer_begins_with_shorter():
    assert parallel_corpus(300, seed=3) == CORPUS[:300]
    assert parallel_corpus(300, seed=4) != CORPUS[:300]


def test_no_sentence_twice_so_that_the_split_is_clean():
    train, test = split_corpus(CORPUS)
    assert not {pair.english for pair in train} & {pair.english for pair in test}
    assert len(train) + len(test) == len(CORPUS)


def test_measure_word_agrees_with_the_noun():
    """一 and a number are followed by the measure word of the next thing."""
    measure_of = {
        chinese: measure for symbol, measure in _MEASURES.items() for _, chinese in _WORDS[symbol]
    }
    seen = set()
    for pair in CORPUS:
        english, chinese = text(pair)
        if chinese.startswith(tuple(noun for _, noun in _WORDS["PLACE"])) and "里有" in chinese:
            phrase = chinese.split("里有")[1].rstrip("。")
            noun = max((n for n in measure_of if phrase.endswith(n)), key=len)
            assert phrase[1] == measure_of[noun], (english, chinese)
            seen.add(measure_of[noun])
    assert seen == set(_MEASURES.values())


def test_time_moves_from_the_end_to_before_the_verb():
    moved = [text(pair) for pair in CORPUS if pair.english[-2:] == ("yesterday", ".")]
    assert moved
    assert all(not chinese.endswith("昨天。") and "昨天" in chinese for _, chinese in moved)


def test_alignment_joins_words_with_the_same_meaning():
    lexicon = {word: chinese for entries in _WORDS.values() for word, chinese in entries}
    for pair in CORPUS[:500]:
        for i, j in pair.alignment:
            meaning = lexicon.get(pair.english[i])
            assert meaning is None or pair.chinese[j] in meaning
        aligned = {i for i, _ in pair.alignment}
        assert all(i in aligned for i, word in enumerate(pair.english) if word in lexicon)


def test_the_grammar_is_rich():
    patterns = {tuple(word for word in pair.english if len(word) < 4) for pair in CORPUS}
    assert len(patterns) > 100
    assert len({word for pair in CORPUS for word in pair.english}) > 100


@pytest.mark.parametrize("size", [0, 500_001])
def test_size_out_of_range(size):
    with pytest.raises(ValueError, match="500,000"):
        parallel_corpus(size)


def test_held_out_is_a_share():
    with pytest.raises(ValueError, match="share"):
        split_corpus(CORPUS, held_out=1)
