"""WordPiece: longest token first, vocabularies by likelihood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.tokenizers import WordPieceTokenizer
from llmlib.tokenizers.normalize import BertNormalizer
from llmlib.tokenizers.wordpiece_training import fast_tokens, pair_count, plain_tokens
from tests.tokenizers.samples import CHINESE, ENGLISH, TEXTS, TRAINING_TEXTS, any_text

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer.train([*TRAINING_TEXTS[:10], ENGLISH, CHINESE], 900, SPECIAL)


word_counts = st.dictionaries(
    st.text(st.sampled_from("abcdé好"), min_size=1, max_size=10),
    st.integers(min_value=1, max_value=5),
    max_size=20,
)


@pytest.mark.parametrize(
    "options",
    [{}, {"score": pair_count}, {"min_frequency": 1}],
    ids=["likelihood", "count", "min_frequency"],
)
@given(counts=word_counts, limit=st.sampled_from([None, 3, 8]))
def test_fast_equals_plain(options, counts, limit):
    options = options | {"limit_alphabet": limit}
    assert fast_tokens(counts, 40, **options) == plain_tokens(counts, 40, **options)


def test_fast_equals_plain_on_text():
    words = " ".join(TRAINING_TEXTS[:4]).lower().split()
    counts = {word: words.count(word) for word in set(words)}
    assert fast_tokens(counts, 160) == plain_tokens(counts, 160)


def test_likelihood_prefers_what_only_occurs_together():
    # "th" is far more frequent, but q and u are always together.
    counts = {"the": 50, "this": 50, "hat": 20, "tip": 20, "quip": 6}
    by_count = plain_tokens(counts, 12, score=pair_count)
    by_likelihood = plain_tokens(counts, 12)
    assert by_count[-1] == "th"
    assert by_likelihood[-1] == "qu"


def by_definition(tokenizer, word):
    """The longest token that the word starts with, by trying all tokens."""
    tokens, rest, prefix = [], word, ""
    while rest:
        fits = [
            t
            for t in tokenizer.vocab.values()
            if len(t) > len(prefix) and t.startswith(prefix) and rest.startswith(t[len(prefix) :])
        ]
        if not fits:
            return ["[UNK]"]
        tokens.append(max(fits, key=len))
        rest, prefix = rest[len(tokens[-1]) - len(prefix) :], "##"
    return tokens


@given(word=st.text(st.sampled_from("theringsaq好"), min_size=1, max_size=20))
def test_a_word_is_cut_by_the_longest_token(tokenizer, word):
    words = tokenizer.pre_tokenizer.split(tokenizer.normalizer.normalize(word))
    expected = [token for w in words for token in by_definition(tokenizer, w)]
    assert [tokenizer.vocab[i] for i in tokenizer.encode(word)] == expected


@given(text=any_text)
def test_decoding_gives_the_normalized_words_back(tokenizer, text):
    """Up to spaces, and where nothing was unknown."""
    ids = tokenizer.encode(text)
    if tokenizer.special_tokens["[UNK]"] in ids or "##" in text:
        return
    normalized = tokenizer.normalizer.normalize(text)
    if any(token in text for token in SPECIAL):
        return
    assert "".join(tokenizer.decode(ids).split()) == "".join(normalized.split())


@pytest.mark.parametrize("longest", ["lighthouse", "##house"])
def test_the_longest_token_of_all_is_found(longest):
    vocab = dict(enumerate(["[UNK]", "light", "##h", longest]))
    tokenizer = WordPieceTokenizer.from_vocab(vocab)
    assert tokenizer.encode("lighthouse")[-1] == 3


def test_vocabulary_order_and_size(tokenizer):
    assert [tokenizer.vocab[i] for i in range(5)] == SPECIAL
    assert tokenizer.vocab_size == 900 == len(tokenizer.vocab)
    characters = [t for t in tokenizer.vocab.values() if len(t.removeprefix("##")) == 1]
    assert [tokenizer.vocab[5 + i] for i in range(len(characters))] == sorted(characters)


def test_every_training_word_can_be_cut(tokenizer):
    ids = tokenizer.encode(ENGLISH + CHINESE)
    assert tokenizer.special_tokens["[UNK]"] not in ids


def test_cased_and_uncased():
    vocab = dict(enumerate(["[UNK]", "a", "A", "é", "É", "e"]))
    assert WordPieceTokenizer.from_vocab(vocab).encode("A É") == [1, 5]
    assert WordPieceTokenizer.from_vocab(vocab, lowercase=False).encode("A É é") == [2, 4, 3]


def test_a_template_puts_tokens_around_the_text():
    vocab = dict(enumerate(["[UNK]", "[CLS]", "[SEP]", "so"]))
    tokenizer = WordPieceTokenizer.from_vocab(
        vocab, ["[UNK]", "[CLS]", "[SEP]"], template=["[CLS]", "$A", "[SEP]"]
    )
    assert tokenizer.encode("So so") == [1, 3, 3, 2]
    assert tokenizer.encode("So so", add_special_tokens=False) == [3, 3]
    assert tokenizer.decode([1, 3, 3, 2], skip_special_tokens=True) == "so so"


def test_words_that_are_too_long_are_unknown():
    tokenizer = WordPieceTokenizer.from_vocab(dict(enumerate(["[UNK]", "a", "##a"])))
    assert tokenizer.encode("a" * 100) == [1] + [2] * 99
    assert tokenizer.encode("a" * 101) == [0]


def test_special_tokens_are_found_before_normalization(tokenizer):
    assert tokenizer.encode("[MASK]") == [4]
    assert 4 not in tokenizer.encode("[mask]")


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("\x00a\tb\u200bc\ufffd\u3000d\r\n", "a bc d  "),
        ("Ünïcödé İ", "unicode i"),
        ("ΟΔΟΣ", "οδοσ"),
        ("中文a", " 中  文 a"),
        ("ab\x85c", "abc"),
    ],
)
def test_bert_normalization(text, normalized):
    assert BertNormalizer().normalize(text) == normalized


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: WordPieceTokenizer.train(["a b c"], 4, ["[CLS]"]),
            "vocab_size 4 is less than 5: 2 special tokens and 3 characters .* limit_alphabet",
        ),
        (
            lambda: WordPieceTokenizer.train("a b c", 40),
            "texts is one string",
        ),
        (
            lambda: WordPieceTokenizer.from_vocab({0: "a"}),
            r"unk_token '\[UNK\]' is not in the vocabulary",
        ),
        (
            lambda: WordPieceTokenizer.from_vocab({0: "[UNK]", 1: "a", 2: "a"}),
            "ids 1 and 2 both stand for 'a'",
        ),
        (
            lambda: WordPieceTokenizer.from_vocab({0: "[UNK]"}, template=["[CLS]", "$A"]),
            r"template token '\[CLS\]' is not in the vocabulary",
        ),
        (
            lambda: WordPieceTokenizer.from_vocab({0: "[UNK]"}, ["[CLS]"], template=["[CLS]"]),
            r"template \['\[CLS\]'\] must hold '\$A' exactly once",
        ),
        (
            lambda: WordPieceTokenizer.from_vocab({0: "[UNK]"}).decode([1]),
            "id 1 is not in the vocabulary",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_limit_alphabet_leaves_rare_characters_out():
    tokenizer = WordPieceTokenizer.train(["aa ab ba zz"] * 3, 20, limit_alphabet=4)
    assert "z" not in tokenizer.vocab.values()
    assert tokenizer.encode("zz") == [tokenizer.special_tokens["[UNK]"]]


def test_all_sample_texts_encode(tokenizer):
    for text in TEXTS.values():
        assert all(i in tokenizer.vocab for i in tokenizer.encode(text))
