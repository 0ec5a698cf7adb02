"""The file format: what is written comes back, and what is not understood is refused by name."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmlib.tokenizers import (
    BPETokenizer,
    UnigramTokenizer,
    WordPieceTokenizer,
    load_tokenizer,
)
from llmlib.tokenizers.loading import from_json
from llmlib.tokenizers.normalize import UnicodeNormalizer
from tests.tokenizers.samples import ENGLISH, TEXTS, TRAINING_TEXTS

SPECIAL = ["<|endoftext|>", "[CLS]", "好 的", "<é>"]
TEXT = "[CLS]".join(TEXTS.values()) + "好 的<é>"
TOKENIZERS = {
    "gpt2": lambda: BPETokenizer.train(TRAINING_TEXTS[:9], 400, SPECIAL),
    "gpt4": lambda: BPETokenizer.train(TRAINING_TEXTS[:9], 400, SPECIAL, pattern="gpt4"),
    "own pattern": lambda: BPETokenizer.train(TRAINING_TEXTS[:9], 400, pattern=r"\w+|\W"),
    "wordpiece": lambda: WordPieceTokenizer.train(TRAINING_TEXTS[:9], 400, SPECIAL),
    "cased": lambda: WordPieceTokenizer.train(
        TRAINING_TEXTS[:9],
        400,
        ["[CLS]", "[SEP]"],
        lowercase=False,
        template=["[CLS]", "$A", "[SEP]"],
    ),
    "unigram": lambda: UnigramTokenizer.train(TRAINING_TEXTS[:9], 400, SPECIAL),
    "unigram nfkc": lambda: UnigramTokenizer.train(
        TRAINING_TEXTS[:9],
        400,
        ["</s>"],
        normalizer=UnicodeNormalizer("NFKC"),
        template=["$A", "</s>"],
    ),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_saved_and_loaded(name, tmp_path):
    tokenizer = TOKENIZERS[name]()
    tokenizer.save(tmp_path / "tokenizer.json")
    for again in (
        type(tokenizer).load(tmp_path / "tokenizer.json"),
        load_tokenizer(str(tmp_path / "tokenizer.json")),
    ):
        assert type(again) is type(tokenizer)
        assert again.vocab == tokenizer.vocab
        assert again.special_tokens == tokenizer.special_tokens
        assert again.encode(TEXT) == tokenizer.encode(TEXT)
        assert again.decode(again.encode(TEXT)) == tokenizer.decode(tokenizer.encode(TEXT))
        assert again.to_json() == tokenizer.to_json()


def bpe_json():
    return BPETokenizer.train(["low lower lowest"], 262, ["<s>", "</s>"]).to_json()


def wordpiece_json():
    return WordPieceTokenizer.train(["low lower lowest"], 20, ["[CLS]"]).to_json()


def unigram_json():
    return UnigramTokenizer.train(["low lower lowest"], 14, ["<s>"]).to_json()


def load(tmp_path, data):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return load_tokenizer(path)


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
    "pair": [],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [260, 261], "tokens": ["<s>", "</s>"]}},
}
SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "WordLevel"}}, "model 'WordLevel' is not supported; supported: BPE, "),
        ({"truncation": {"max_length": 5}}, "the file has truncation=.*'max_length': 5"),
        ({"padding": {"strategy": "BatchLongest"}}, "the file has padding="),
        ({"model.dropout": 0.1}, "model BPE has dropout=0.1"),
        ({"model.byte_fallback": True}, "model BPE has byte_fallback=True"),
        ({"model.end_of_word_suffix": "</w>"}, "model BPE has end_of_word_suffix='</w>'"),
        ({"model.continuing_subword_prefix": "##"}, "continuing_subword_prefix='##'"),
        ({"model.unk_token": "<unk>"}, "unk_token b'<unk>' is not in the vocabulary"),
        ({"model.merges": [["l", "o", "w"]]}, r"merge \['l', 'o', 'w'\] must be a pair"),
        ({"model.merges": ["lo w x"]}, "merge 'lo w x' must be a pair"),
        ({"model.merges": [["z", "z"]]}, "needs the token b'zz', which is not in the vocabulary"),
        ({"model.merges": None}, "model BPE needs 'merges' as list, found NoneType"),
        ({"model.vocab": []}, "model BPE needs 'vocab' as dict, found list"),
        ({"model.vocab": {"好": 0}}, "'好', which stands for no byte"),
        ({"model.vocab": {"a": 0, "b": 0}}, "'b' has the id 0, which contradicts 'a'"),
        ({"model.vocab": {"a": "0"}}, "id '0' of 'a' must be an integer"),
        ({"model.vocab": {"<s>": 3}}, "'<s>' has the id 260, which contradicts 3"),
        ({"normalizer": {"type": "Precompiled"}}, "normalizer 'Precompiled' is not supported"),
        ({"normalizer": {"type": "Strip"}}, "normalizer 'Strip' is not supported; supported: NFC"),
        ({"pre_tokenizer": None}, "pre_tokenizer None is not supported"),
        ({"pre_tokenizer": {"type": "Punctuation"}}, "pre_tokenizer 'Punctuation' is not"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "model BPE with pre_tokenizer 'Whitespace'"),
        ({"pre_tokenizer": SPLIT}, "the pattern of Split needs 'Regex' as str"),
        (
            {
                "pre_tokenizer": SPLIT
                | {"pattern": {"Regex": " "}, "behavior": "MergedWithPrevious"}
            },
            "Split with behavior='MergedWithPrevious' and invert=False is not supported",
        ),
        (
            {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT, SPLIT]}},
            "pre_tokenizer 'Sequence of Split and Split' is not supported",
        ),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "use_regex": False}},
            "pre_tokenizer ByteLevel has use_regex=False",
        ),
        ({"post_processor": {"type": "Foo"}}, "post_processor 'Foo' is not supported"),
        ({"post_processor": TEMPLATE}, r"TemplateProcessing gives '<s>' the ids \[260, 261\]"),
        ({"decoder": {"type": "BPEDecoder"}}, "the decoder has type='BPEDecoder'"),
        ({"added_tokens.0.lstrip": True}, "added token '<s>' has lstrip=True"),
        ({"added_tokens.1.rstrip": True}, "added token '</s>' has rstrip=True"),
        ({"added_tokens.0.single_word": True}, "added token '<s>' has single_word=True"),
        (
            {"added_tokens.0.normalized": True, "normalizer": {"type": "NFC"}},
            "added token '<s>' has normalized=True",
        ),
        ({"added_tokens.0.id": None}, "added token '<s>' needs 'id' as int, found NoneType"),
        ({"added_tokens.0.content": 5}, "an added token needs 'content' as str, found int"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(change, message, tmp_path):
    data = bpe_json()
    for path, value in change.items():
        put(data, path, value)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "change", "message"),
    [
        (wordpiece_json, {"model.unk_token": "[no]"}, r"unk_token '\[no\]' is not in the voc"),
        (wordpiece_json, {"model.continuing_subword_prefix": None}, "as str, found NoneType"),
        (wordpiece_json, {"decoder": {"type": "WordPiece", "prefix": "@@"}}, "prefix='@@'"),
        (wordpiece_json, {"model.max_input_chars_per_word": "9"}, "as int, found str"),
        (unigram_json, {"model.byte_fallback": True}, "model Unigram has byte_fallback=True"),
        (unigram_json, {"model.unk_id": 99}, "unk_id 99 is not among the 14 pieces"),
        (unigram_json, {"model.vocab": [["a", -1.0], ["a", -2.0]]}, "ids 0 and 1 are both 'a'"),
        (unigram_json, {"pre_tokenizer.prepend_scheme": "first"}, "prepend_scheme='first'"),
        (unigram_json, {"pre_tokenizer.split": False}, "Metaspace has split=False"),
    ],
)
def test_other_models_refuse_by_name_too(data, change, message, tmp_path):
    data = data()
    for path, value in change.items():
        put(data, path, value)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, data)


def put(data, path, value):
    *parents, last = path.split(".")
    for key in parents:
        data = data[int(key) if isinstance(data, list) else key]
    data[int(last) if isinstance(data, list) else last] = value


def test_each_class_reads_its_own_model(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(wordpiece_json()))
    with pytest.raises(ValueError, match="the model is 'WordPiece', not 'BPE'; use load_tokenizer"):
        BPETokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is no JSON file"),
        (b"\xff\xfe", "is no JSON file"),
        (b"[]", "has no 'model' object"),
        (b"{}", "has no 'model' object"),
        (b'{"model": "BPE"}', "has no 'model' object"),
        (b'{"model": {}}', "model None is not supported"),
    ],
)
def test_other_files_are_refused(content, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_tokenizer(tmp_path / "none.json")


FILES = {"bpe": bpe_json(), "wordpiece": wordpiece_json(), "unigram": unigram_json()}
ODD = [None, True, -1, 3, 0.5, "x", [], {}, ["a"], {"type": "ByteLevel"}, [[]], {"a": {}}]


@pytest.mark.parametrize("name", FILES)
@given(choices=st.lists(st.integers(0, 10**6), min_size=8, max_size=8), value=st.sampled_from(ODD))
def test_a_damaged_file_loads_or_is_refused_with_a_value_error(name, choices, value):
    data = copy.deepcopy(FILES[name])
    node, steps = data, iter(choices)
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[next(steps) % len(keys)]
        child = node[key]
        if not isinstance(child, dict | list) or not child or next(steps) % 3 == 0:
            break
        node = child
    node[key] = value
    try:
        tokenizer = from_json(data)
    except ValueError:
        return
    assert isinstance(tokenizer.encode("low"), list)


def test_a_special_token_that_looks_like_a_byte_cannot_be_saved(tmp_path):
    tokenizer = BPETokenizer.from_vocab({i: bytes([i]) for i in range(256)}, [], ["é"])
    with pytest.raises(ValueError, match="special token 'é' cannot be saved"):
        tokenizer.save(tmp_path / "tokenizer.json")


def test_visible_tokens_survive(tmp_path):
    data = bpe_json()
    data["added_tokens"][1]["special"] = False
    tokenizer = load(tmp_path, data)
    ids = tokenizer.encode("<s>low</s>")
    assert ids[-1] == 261
    assert tokenizer.decode(ids, skip_special_tokens=True) == "low</s>"
    assert tokenizer.to_json()["added_tokens"] == data["added_tokens"]


def test_an_unknown_token_stands_for_missing_bytes(tmp_path):
    data = bpe_json()
    data["model"] |= {"unk_token": "<s>", "vocab": {"l": 0, "o": 1, "lo": 2}, "merges": ["l o"]}
    tokenizer = load(tmp_path, data)
    assert tokenizer.encode("low") == [2, 260]


def test_the_written_file_is_text_that_people_can_read(tmp_path):
    path = tmp_path / "tokenizer.json"
    BPETokenizer.train([ENGLISH], 300, ["好"]).save(path)
    text = path.read_bytes().decode("utf-8")
    assert '"content": "好"' in text
    assert '"Ġ": 32' in text
    assert "\r" not in text
