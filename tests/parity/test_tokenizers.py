"""Tokenizers against ``tokenizers``, ``tiktoken`` and ``transformers``: equal ids, equal text.

The peer is always built from what our tokenizer writes, or ours from what the peer writes.
"""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tiktoken
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from llmlib.tokenizers import (
    BPETokenizer,
    UnigramTokenizer,
    WordPieceTokenizer,
    load_tokenizer,
)
from llmlib.tokenizers.bpe_merging import plain_merge_word
from llmlib.tokenizers.normalize import BertNormalizer, UnicodeNormalizer
from llmlib.tokenizers.pretokenize import BertPreTokenizer, RegexPreTokenizer
from llmlib.tokenizers.tokenizer_json import read_float
from llmlib.tokenizers.wordpiece_training import fast_tokens, pair_count
from tests.tokenizers.samples import (
    CHINESE,
    ENGLISH,
    SETTLED,
    TEXTS,
    TRAINING_TEXTS,
    settled_text,
)


def marker(component, peer, compared="ids"):
    return pytest.mark.parity(
        component=f"llmlib.tokenizers.{component}",
        peer=peer,
        compared=compared,
        tolerance="equal",
    )


SPECIAL = ["<|endoftext|>", "<|end|>", "好 的"]
PATTERNS = ["gpt2", "gpt4", "qwen2", "gpt4o"]
# The peers read a text as UTF-8, in which U+FFFE and the like are characters as any other.
ALL_TEXTS = TEXTS | {"with special": "<|end|>".join(TEXTS.values()) + "好 的<|endoftext|>"}


TEXTS_AS_BYTES = [TEXTS[name].encode()[:50] for name in ("english", "chinese", "emoji", "spaces")]


def as_rust(tokenizer, folder):
    path = folder / "tokenizer.json"
    tokenizer.save(path)
    return tokenizers.Tokenizer.from_file(str(path))


@pytest.fixture(scope="module", params=PATTERNS)
def bpe(request, tmp_path_factory):
    ours = BPETokenizer.train(TRAINING_TEXTS, 2000, SPECIAL, pattern=request.param)
    return ours, as_rust(ours, tmp_path_factory.mktemp(request.param))


BPE_RUST = marker("BPETokenizer", "tokenizers (byte-level BPE)", "ids and decoded text")


@BPE_RUST
@pytest.mark.parametrize("name", ALL_TEXTS)
def test_bpe_equals_tokenizers(bpe, name):
    ours, rust = bpe
    ids = ours.encode(ALL_TEXTS[name])
    assert ids == rust.encode(ALL_TEXTS[name]).ids
    assert ours.decode(ids) == rust.decode(ids, skip_special_tokens=False)
    assert ours.decode(ids, skip_special_tokens=True) == rust.decode(ids)


@BPE_RUST
@given(text=settled_text)
def test_bpe_equals_tokenizers_on_any_text(bpe, text):
    ours, rust = bpe
    assert ours.encode(text) == rust.encode(text).ids


@BPE_RUST
@given(ids=st.lists(st.integers(0, 1999), max_size=12))
def test_broken_utf8_decodes_as_in_tokenizers(bpe, ids):
    ours, rust = bpe
    ids = [i for i in ids if i != ours.special_tokens["好 的"]]  # not byte-level text over there
    assert ours.decode(ids) == rust.decode(ids, skip_special_tokens=False)


@marker("BPETokenizer", "tokenizers (byte-level BPE)", "the file, read and written again")
def test_the_file_is_what_tokenizers_writes(bpe):
    ours, rust = bpe
    assert json.loads(rust.to_str()) == ours.to_json()


@BPE_RUST
@pytest.mark.parametrize(
    ("prefix", "alphabet", "unk"),
    [(False, True, None), (True, True, None), (False, False, "<unk>")],
    ids=["plain", "prefix space", "unknown token"],
)
def test_bpe_trained_by_tokenizers_loads_here(prefix, alphabet, unk, tmp_path):
    rust = tokenizers.Tokenizer(models.BPE(unk_token=unk))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=[*SPECIAL, *([unk] if unk else [])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
        show_progress=False,
    )
    rust.train_from_iterator(TRAINING_TEXTS[:20] if unk else TRAINING_TEXTS, trainer)
    rust.save(str(tmp_path / "tokenizer.json"))
    ours = BPETokenizer.load(tmp_path / "tokenizer.json")
    for text in ALL_TEXTS.values():
        ids = ours.encode(text)
        assert ids == rust.encode(text).ids
        assert list(ours.encode_iterable(text)) == ids
        if not unk:
            assert ours.decode(ids) == rust.decode(ids, skip_special_tokens=False)


@BPE_RUST
def test_a_llama_3_file_loads_here(tmp_path):
    """Split and ByteLevel in sequence, ignore_merges, a template after ByteLevel."""
    source = BPETokenizer.train(TRAINING_TEXTS, 1200, ["<|begin|>", "<|end|>"], pattern="gpt4")
    data = source.to_json()
    data["model"] |= {"ignore_merges": True}
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<|begin|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {
            "<|begin|>": {"id": "<|begin|>", "ids": [1198], "tokens": ["<|begin|>"]}
        },
    }
    data["post_processor"] = {
        "type": "Sequence",
        "processors": [processor_json(processors.ByteLevel(trim_offsets=False)), template],
    }
    # A word of the vocabulary that its merges do not make.
    data["model"]["merges"] = [m for m in data["model"]["merges"] if "".join(m) != "Ġthe"]
    data["model"]["merges"] = [m for m in data["model"]["merges"] if "Ġthe" not in m]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    ours, rust = BPETokenizer.load(path), tokenizers.Tokenizer.from_file(str(path))
    for text in ALL_TEXTS.values():
        assert ours.encode(text) == rust.encode(text).ids
        plain = rust.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, add_special_tokens=False) == plain
    the = data["model"]["vocab"]["Ġthe"]
    assert the in ours.encode("on the sea")


def processor_json(processor):
    wrapper = tokenizers.Tokenizer(models.BPE())
    wrapper.post_processor = processor
    return json.loads(wrapper.to_str())["post_processor"]


@BPE_RUST
@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_bpe_with_a_normalizer_equals_tokenizers(form, tmp_path):
    source = BPETokenizer.train(TRAINING_TEXTS, 900, ["<|end|>"])
    ours = BPETokenizer(
        source.vocab,
        source.merges,
        source.special_tokens,
        normalizer=UnicodeNormalizer(form),
    )
    rust = as_rust(ours, tmp_path)
    for text in ALL_TEXTS.values():
        assert ours.encode(text) == rust.encode(text).ids


@marker("BPETokenizer.train", "tokenizers (BpeTrainer)", "merges, up to the first tie")
@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_merges_equal_those_of_tokenizers_until_a_tie(pattern):
    words = RegexPreTokenizer(pattern)
    texts = TRAINING_TEXTS[:30]
    ours = BPETokenizer.train(texts, 2000, pattern=pattern)
    rust = tokenizers.Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(words.pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
    rust.train_from_iterator(texts, trainer)
    found = BPETokenizer.from_json(json.loads(rust.to_str()) | {"decoder": None}).merges
    agree = next(i for i, (a, b) in enumerate(zip(ours.merges, found, strict=True)) if a != b)
    assert agree >= 30
    # Where they part, the two choices were equally frequent: ours is the greater pair.
    assert ours.merges[agree] > found[agree]
    counts = pair_counts_after(texts, words, ours.merges[:agree])
    assert counts[ours.merges[agree]] == counts[found[agree]] == max(counts.values())


def pair_counts_after(texts, words, merges):
    counts = Counter()
    for word, n in Counter(w for text in texts for w in words.split(text)).items():
        for pair in pairwise(plain_merge_word(word.encode(), merges)):
            counts[pair] += n
    return counts


TIKTOKEN = marker("BPETokenizer", "tiktoken.Encoding", "ids and decoded text")


@pytest.fixture(scope="module")
def openai(bpe):
    """tiktoken's encoding from our vocabulary: tokens by rank, no file, no download."""
    ours, _ = bpe
    special = set(ours.special_tokens.values())
    encoding = tiktoken.Encoding(
        "ours",
        pat_str=ours.pre_tokenizer.pattern,
        mergeable_ranks={t: i for i, t in ours.vocab.items() if i not in special},
        special_tokens=ours.special_tokens,
    )
    return ours, encoding


@TIKTOKEN
@pytest.mark.parametrize("name", ALL_TEXTS)
def test_bpe_equals_tiktoken(openai, name):
    ours, encoding = openai
    ids = ours.encode(ALL_TEXTS[name])
    assert ids == encoding.encode(ALL_TEXTS[name], allowed_special="all")
    assert ours.decode(ids) == encoding.decode(ids)
    assert ours.decode_bytes(ids) == encoding.decode_bytes(ids)


@TIKTOKEN
@given(text=settled_text)
def test_bpe_equals_tiktoken_on_any_text(openai, text):
    ours, encoding = openai
    assert ours.encode(text) == encoding.encode(text, allowed_special="all")


@TIKTOKEN
@given(ids=st.lists(st.integers(0, 1999), max_size=12))
def test_broken_utf8_decodes_as_in_tiktoken(openai, ids):
    ours, encoding = openai
    assert ours.decode(ids) == encoding.decode(ids, errors="replace")
    assert ours.decode_bytes(ids) == encoding.decode_bytes(ids)


@TIKTOKEN
@given(data=st.lists(st.binary(max_size=8) | st.sampled_from(TEXTS_AS_BYTES)).map(b"".join))
def test_any_bytes_equal_tiktoken(openai, data):
    ours, encoding = openai
    if not any(token.encode() in data for token in SPECIAL):  # it knows none of them in bytes
        assert ours.encode_bytes(data) == encoding._encode_bytes(data)


@TIKTOKEN
@pytest.mark.parametrize("name", ["english", "chinese", "mixed", "emoji", "scripts", "spaces"])
def test_bytes_cut_inside_a_character_equal_tiktoken(openai, name):
    """A text cut at every byte: the end is often no UTF-8."""
    ours, encoding = openai
    data = TEXTS[name].encode()
    for end in range(1, len(data) + 1):
        tail = data[max(0, end - 40) : end]
        while tail and tail[0] & 0xC0 == 0x80:
            tail = tail[1:]
        assert ours.encode_bytes(tail) == encoding._encode_bytes(tail)


FAST = "transformers.PreTrainedTokenizerFast"


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(
            lambda: BPETokenizer.train(TRAINING_TEXTS, 900, SPECIAL),
            marks=marker("BPETokenizer", FAST, "ids and decoded text"),
        ),
        pytest.param(
            lambda: BPETokenizer.train(TRAINING_TEXTS, 900, SPECIAL, pattern="gpt4"),
            marks=marker("BPETokenizer", FAST, "ids and decoded text"),
        ),
        pytest.param(
            lambda: WordPieceTokenizer.train(
                TRAINING_TEXTS,
                2500,
                ["[UNK]", "[CLS]", "[SEP]", "<|end|>"],
                template=["[CLS]", "$A", "[SEP]"],
            ),
            marks=marker("WordPieceTokenizer", FAST, "ids and decoded text"),
        ),
        pytest.param(
            lambda: UnigramTokenizer.train(
                TRAINING_TEXTS, 2000, ["</s>", "<|end|>"], template=["$A", "</s>"]
            ),
            marks=marker("UnigramTokenizer", FAST, "ids and decoded text"),
        ),
    ],
)
def test_transformers_reads_our_files(build, tmp_path):
    ours = build()
    ours.save(tmp_path / "tokenizer.json")
    fast = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert len(fast) == ours.vocab_size
    for text in ALL_TEXTS.values():
        ids = ours.encode(text)
        assert fast(text)["input_ids"] == ids
        assert fast.decode(ids, clean_up_tokenization_spaces=False) == ours.decode(ids)
    # Written once more by transformers, read by us.
    fast.save_pretrained(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again" / "tokenizer.json")
    for text in ALL_TEXTS.values():
        assert again.encode(text) == ours.encode(text)


WORDPIECE_RUST = marker("WordPieceTokenizer", "tokenizers (WordPiece)", "ids and decoded text")


@pytest.fixture(scope="module", params=["uncased", "cased"])
def wordpiece(request, tmp_path_factory):
    ours = WordPieceTokenizer.train(
        TRAINING_TEXTS[:30] + list(TEXTS.values())[:3],
        1500,
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        lowercase=request.param == "uncased",
        template=["[CLS]", "$A", "[SEP]"],
    )
    return ours, as_rust(ours, tmp_path_factory.mktemp(request.param))


@WORDPIECE_RUST
@pytest.mark.parametrize("name", ALL_TEXTS)
def test_wordpiece_equals_tokenizers(wordpiece, name):
    ours, rust = wordpiece
    ids = ours.encode(ALL_TEXTS[name])
    assert ids == rust.encode(ALL_TEXTS[name]).ids
    assert ours.decode(ids) == rust.decode(ids, skip_special_tokens=False)
    assert ours.decode(ids, skip_special_tokens=True) == rust.decode(ids)
    plain = rust.encode(ALL_TEXTS[name], add_special_tokens=False).ids
    assert ours.encode(ALL_TEXTS[name], add_special_tokens=False) == plain


@WORDPIECE_RUST
@given(text=settled_text)
def test_wordpiece_equals_tokenizers_on_any_text(wordpiece, text):
    ours, rust = wordpiece
    assert ours.encode(text) == rust.encode(text).ids


@WORDPIECE_RUST
@given(
    tokens=st.sets(st.text("abc", min_size=1, max_size=4), max_size=12),
    inside=st.sets(st.text("abc", min_size=1, max_size=4), max_size=12),
    text=st.text("abc ", max_size=30),
)
def test_wordpiece_of_any_vocabulary_equals_tokenizers(tokens, inside, text):
    vocab = dict(enumerate(["[UNK]", *sorted(tokens), *("##" + t for t in sorted(inside))]))
    ours = WordPieceTokenizer.from_vocab(vocab, ["[UNK]"])
    rust = tokenizers.Tokenizer.from_str(json.dumps(ours.to_json()))
    assert ours.encode(text) == rust.encode(text).ids


@WORDPIECE_RUST
@pytest.mark.parametrize("kind", ["bert", "white space", "non-space"])
def test_wordpiece_trained_by_tokenizers_loads_here(kind, tmp_path):
    rust = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    if kind == "bert":
        rust.normalizer = normalizers.BertNormalizer()
        rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        rust.normalizer = normalizers.Sequence(
            [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
        )
        spaces = kind == "white space"
        rust.pre_tokenizer = (
            pre_tokenizers.Whitespace() if spaces else pre_tokenizers.WhitespaceSplit()
        )
    rust.decoder = decoders.WordPiece(cleanup=kind == "bert")
    special = ["[UNK]", "[CLS]", "[SEP]", "<|end|>"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=1500, special_tokens=special, show_progress=False
    )
    rust.train_from_iterator(TRAINING_TEXTS, trainer)
    rust.post_processor = processors.BertProcessing(
        ("[SEP]", rust.token_to_id("[SEP]")), ("[CLS]", rust.token_to_id("[CLS]"))
    )
    rust.save(str(tmp_path / "tokenizer.json"))
    ours = WordPieceTokenizer.load(tmp_path / "tokenizer.json")
    for text in ALL_TEXTS.values():
        ids = ours.encode(text)
        assert ids == rust.encode(text).ids
        assert list(ours.encode_iterable(text)) == ids
        assert ours.decode(ids) == rust.decode(ids, skip_special_tokens=False)


@marker("wordpiece_training.fast_tokens", "tokenizers (WordPieceTrainer)", "joined tokens in order")
@pytest.mark.parametrize("word", ["lighthouse", "keeper", "xylophone", "机器学习模型"])
def test_wordpiece_by_count_equals_tokenizers(word):
    """The beginnings of a word, each twice as frequent as the one before: no ties."""
    counts = {word[:k]: 2**k for k in range(1, len(word) + 1)}
    ours = fast_tokens(counts, 60, score=pair_count, min_frequency=1)
    rust = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(vocab_size=60, show_progress=False)
    rust.train_from_iterator([" ".join([w] * n) for w, n in counts.items()], trainer)
    theirs = sorted(rust.get_vocab().items(), key=lambda item: item[1])
    joined = [token for token in ours if len(token.removeprefix("##")) > 1]
    assert joined == [token for token, _ in theirs if len(token.removeprefix("##")) > 1]
    assert len(joined) == len(word) - 1


NORMALIZER = marker("BertNormalizer", "tokenizers (BertNormalizer)", "text")


@NORMALIZER
@pytest.mark.parametrize("lowercase", [True, False])
@given(text=settled_text)
def test_bert_normalizer_equals_tokenizers(lowercase, text):
    rust = normalizers.BertNormalizer(lowercase=lowercase)
    assert BertNormalizer(lowercase=lowercase).normalize(text) == rust.normalize_str(text)


@NORMALIZER
def test_bert_normalizer_equals_tokenizers_on_every_settled_character():
    rust, ours = normalizers.BertNormalizer(), BertNormalizer()
    differ = [c for c in SETTLED if ours.normalize(c) != rust.normalize_str(c)]
    assert differ == []


@marker("BertPreTokenizer", "tokenizers (BertPreTokenizer)", "words")
def test_bert_words_equal_tokenizers_around_every_settled_character():
    rust, ours = pre_tokenizers.BertPreTokenizer(), BertPreTokenizer()
    text = "".join(f"a{c}b " for c in SETTLED)
    assert ours.split(text) == [word for word, _ in rust.pre_tokenize_str(text)]


@marker("RegexPreTokenizer", "tokenizers (Split)", "words")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_words_equal_tokenizers_around_every_settled_character(pattern):
    ours = RegexPreTokenizer(pattern)
    rust = pre_tokenizers.Split(tokenizers.Regex(ours.pattern), "isolated")
    text = "".join(f"a{c}b {c}1 'S{c}\n" for c in SETTLED)
    assert ours.split(text) == [word for word, _ in rust.pre_tokenize_str(text)]


UNIGRAM_RUST = marker("UnigramTokenizer", "tokenizers (Unigram)", "ids and decoded text")


@pytest.fixture(scope="module")
def unigram(tmp_path_factory):
    ours = UnigramTokenizer.train(
        TRAINING_TEXTS[:30] + list(TEXTS.values())[:3], 1500, ["<s>", "</s>", "<|end|>"]
    )
    return ours, as_rust(ours, tmp_path_factory.mktemp("unigram"))


@UNIGRAM_RUST
@pytest.mark.parametrize("name", ALL_TEXTS)
def test_unigram_equals_tokenizers(unigram, name):
    ours, rust = unigram
    ids = ours.encode(ALL_TEXTS[name])
    assert ids == rust.encode(ALL_TEXTS[name]).ids
    assert ours.decode(ids) == rust.decode(ids, skip_special_tokens=False)


@UNIGRAM_RUST
@given(text=settled_text)
def test_unigram_equals_tokenizers_on_any_text(unigram, text):
    ours, rust = unigram
    assert ours.encode(text) == rust.encode(text).ids


@UNIGRAM_RUST
@given(
    pieces=st.dictionaries(
        st.text("ab▁é", min_size=1, max_size=4), st.floats(-20, 0), min_size=1, max_size=12
    ),
    text=st.text("ab é好", max_size=30),
)
def test_unigram_of_any_scores_equals_tokenizers(pieces, text):
    vocab = dict(enumerate(["<unk>", *pieces]))
    ours = UnigramTokenizer.from_vocab(vocab, [0.0, *pieces.values()], ["<unk>"])
    # In tokenizers the scores go through the file, which is read to the last bit as we read it.
    data = json.dumps(ours.to_json())
    rust = tokenizers.Tokenizer.from_str(data)
    ours = load_from_text(data)
    assert ours.encode(text) == rust.encode(text).ids


def load_from_text(text):
    return UnigramTokenizer.from_json(json.loads(text, parse_float=read_float))


@UNIGRAM_RUST
@pytest.mark.parametrize("prepend", ["always", "never"])
def test_unigram_trained_by_tokenizers_loads_here(prepend, tmp_path):
    rust = tokenizers.Tokenizer(models.Unigram())
    rust.normalizer = normalizers.NFKC()
    rust.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    rust.decoder = decoders.Metaspace(prepend_scheme=prepend)
    trainer = trainers.UnigramTrainer(
        vocab_size=1500,
        special_tokens=["<unk>", "</s>", "<|end|>"],
        unk_token="<unk>",
        show_progress=False,
    )
    rust.train_from_iterator(TRAINING_TEXTS, trainer)
    rust.post_processor = processors.TemplateProcessing(
        single="$A </s>",
        pair="$A </s> $B </s>",
        special_tokens=[("</s>", rust.token_to_id("</s>"))],
    )
    path = tmp_path / "tokenizer.json"
    rust.save(str(path))
    rust = tokenizers.Tokenizer.from_file(str(path))
    ours = UnigramTokenizer.load(path)
    for text in ALL_TEXTS.values():
        ids = ours.encode(text)
        assert ids == rust.encode(text).ids
        assert list(ours.encode_iterable(text)) == ids
        assert ours.decode(ids) == rust.decode(ids, skip_special_tokens=False)


@pytest.mark.parity(
    component="llmlib.tokenizers.UnigramTokenizer.train",
    peer="tokenizers (UnigramTrainer)",
    compared="number of tokens of a text",
    tolerance="5 % more",
)
@pytest.mark.parametrize("size", [600, 1500])
def test_our_unigram_vocabularies_are_as_short(size):
    texts = [*TRAINING_TEXTS[:30], ENGLISH, CHINESE]
    ours = UnigramTokenizer.train(texts, size)
    rust = tokenizers.Tokenizer(models.Unigram())
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    rust.train_from_iterator(texts, trainer)
    text = "\n".join(texts)
    lengths = np.array([len(ours.encode(text)), len(rust.encode(text).ids)])
    assert lengths[0] <= 1.05 * lengths[1]
