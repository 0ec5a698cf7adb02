"""Read and write ``tokenizer.json``, the file format of ``tokenizers`` and ``transformers``.

One JSON object holds the whole path from text to ids:

==================  ====================================================================
entry               meaning
==================  ====================================================================
``added_tokens``    special tokens: found first, never split
``normalizer``      changes the text
``pre_tokenizer``   cuts it into words
``model``           vocabulary, merges or scores
``post_processor``  tokens around the text
``decoder``         how tokens become text again
==================  ====================================================================

Whatever a file asks for is either done or refused by name; a setting that were silently ignored
would give other ids than the library that wrote the file.

Reference: the ``tokenizers`` library, https://huggingface.co/docs/tokenizers.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmlib.tokenizers import normalize, pretokenize
from llmlib.tokenizers.template import TEXT, Template

Json = dict[str, Any]


def read_json(path: str | Path) -> Json:
    """Read a file and check its outline; ValueError says what is missing."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"), parse_float=read_float)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON file ({error}); expected a tokenizer.json") from None
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict):
        raise ValueError(f"{path} has no 'model' object; expected a tokenizer.json")
    return data


def read_float(text: str) -> float:
    """A number as the reader of ``tokenizers`` understands it: digits, then a power of ten.

    That is not always the nearest float. Scores must be the same to the last bit, because ways
    to cut a word that are equally probable are told apart by rounding.

    Examples
    --------
    >>> read_float("-7.5e-1"), read_float("-7.2119717689899865"), float("-7.2119717689899865")
    (-0.75, -7.211971768989987, -7.2119717689899865)
    """
    digits, _, exponent = text.lower().partition("e")
    whole, _, fraction = digits.partition(".")
    power = int(exponent or 0) - len(fraction)
    digits = float(int(whole + fraction))
    return digits * float(f"1e{power}") if power >= 0 else digits / float(f"1e{-power}")


@contextmanager
def malformed_refused() -> Iterator[None]:
    """Turn the stumbling over an entry of the wrong shape into a ValueError.

    Examples
    --------
    >>> with malformed_refused():
    ...     {}["vocab"]
    Traceback (most recent call last):
        ...
    ValueError: tokenizer.json is malformed: no entry 'vocab'
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"tokenizer.json is malformed: {reason}") from error


def write_json(path: str | Path, data: Json) -> None:
    """Write a file as ``tokenizers`` does: indented, Unicode as it is."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    Path(path).write_text(text, encoding="utf-8", newline="\n")


def require(data: Json, part: str, **allowed: tuple) -> None:
    """Refuse a setting of ``data`` whose value is none of those allowed.

    A setting that is absent counts as None.

    Examples
    --------
    >>> require({"dropout": 0.1}, "model BPE", dropout=(None,))
    Traceback (most recent call last):
        ...
    ValueError: tokenizer.json: model BPE has dropout=0.1, which is not supported; supported: None
    """
    for name, values in allowed.items():
        value = data.get(name)
        # 0 == False in Python, but not in a file.
        if not any(
            value == ok and isinstance(value, bool) == isinstance(ok, bool) for ok in values
        ):
            supported = ", ".join(map(repr, values))
            raise ValueError(
                f"tokenizer.json: {part} has {name}={value!r}, which is not supported; "
                f"supported: {supported}"
            )


def entry(data: Json, name: str, part: str, kind: type) -> Any:
    """An entry that must be there, of the type it must have."""
    value = data.get(name)
    if not isinstance(value, kind):
        raise ValueError(
            f"tokenizer.json: {part} needs {name!r} as {kind.__name__}, found "
            f"{type(value).__name__}"
        )
    return value


def model_type(model: Json) -> str | None:
    """``"BPE"``, ``"WordPiece"``, ``"Unigram"``, or what else the file says."""
    if "type" not in model and "merges" in model:
        return "BPE"  # files of the first versions do not say
    return model.get("type")


def check_model(data: Json, kind: str) -> Json:
    """The model entry, if it is of this kind and the file truncates and pads nothing."""
    model = entry(data, "model", "the file", dict)
    found = model_type(model)
    if found != kind:
        raise ValueError(
            f"tokenizer.json: the model is {found!r}, not {kind!r}; "
            "use load_tokenizer, which picks the class by the file"
        )
    require(data, "the file", truncation=(None,), padding=(None,))
    return model


def added_tokens(data: Json) -> dict[str, int]:
    """Special tokens and their ids."""
    tokens = {}
    for token in data.get("added_tokens") or ():
        content = entry(token, "content", "an added token", str)
        part = f"added token {content!r}"
        require(token, part, single_word=(False, None), lstrip=(False, None), rstrip=(False, None))
        if data.get("normalizer") is not None:
            require(token, part, normalized=(False,))
        tokens[content] = entry(token, "id", part, int)
    return tokens


def shared_parts(data: Json) -> dict[str, Any]:
    """What a file says about the path around the model: arguments of every tokenizer."""
    special = added_tokens(data)
    return {
        "special_tokens": special,
        "visible_tokens": {
            token["content"] for token in data.get("added_tokens") or () if not token["special"]
        },
        "normalizer": read_normalizer(data.get("normalizer")),
        "pre_tokenizer": read_pre_tokenizer(data.get("pre_tokenizer")),
        "template": read_template(data.get("post_processor"), special),
    }


def whole_vocab(model_vocab: Mapping[str, int], special_tokens: Mapping[str, int]) -> dict:
    """Id -> token of the model and of the special tokens; they must not contradict each other.

    Examples
    --------
    >>> whole_vocab({"a": 0, "<s>": 1}, {"<s>": 1, "</s>": 2})
    {0: 'a', 1: '<s>', 2: '</s>'}
    """
    vocab: dict[int, str] = {}
    for token, i in [*model_vocab.items(), *special_tokens.items()]:
        if not isinstance(i, int) or i < 0:
            raise ValueError(f"tokenizer.json: id {i!r} of {token!r} must be an integer from 0")
        if vocab.setdefault(i, token) != token or model_vocab.get(token, i) != i:
            other = vocab[i] if vocab[i] != token else model_vocab[token]
            raise ValueError(
                f"tokenizer.json: {token!r} has the id {i}, which contradicts {other!r} "
                "in the same file"
            )
    return vocab


def read_normalizer(data: Json | None) -> normalize.Normalizer | None:
    """The normalizer of a file.

    Examples
    --------
    >>> read_normalizer({"type": "NFKC"}).normalize("①")
    '1'
    >>> read_normalizer({"type": "Precompiled", "precompiled_charsmap": "..."})
    Traceback (most recent call last):
        ...
    ValueError: tokenizer.json: normalizer 'Precompiled' is not supported; supported: \
NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, BertNormalizer, Sequence
    """
    if data is None:
        return None
    kind = data.get("type")
    if kind in ("NFC", "NFD", "NFKC", "NFKD"):
        return normalize.UnicodeNormalizer(kind)
    if kind == "Lowercase":
        return normalize.Lowercase()
    if kind == "StripAccents":
        return normalize.StripAccents()
    if kind == "BertNormalizer":
        settings = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
        return normalize.BertNormalizer(**{name: data[name] for name in settings if name in data})
    if kind == "Sequence":
        parts = entry(data, "normalizers", "normalizer Sequence", list)
        return normalize.NormalizerSequence([read_normalizer(part) for part in parts])
    known = "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, BertNormalizer, Sequence"
    raise ValueError(f"tokenizer.json: normalizer {kind!r} is not supported; supported: {known}")


def read_pre_tokenizer(data: Json | None) -> pretokenize.PreTokenizer:
    """The pre-tokenizer of a file.

    Examples
    --------
    >>> read_pre_tokenizer({"type": "Whitespace"}).split("so it goes.")
    ['so', 'it', 'goes', '.']
    >>> read_pre_tokenizer({"type": "CharDelimiterSplit", "delimiter": "|"})
    Traceback (most recent call last):
        ...
    ValueError: tokenizer.json: pre_tokenizer 'CharDelimiterSplit' is not supported; supported: \
ByteLevel, Split, Sequence of Split and ByteLevel, BertPreTokenizer, Whitespace, \
WhitespaceSplit, Metaspace
    """
    kind = None if data is None else data.get("type")
    if kind == "ByteLevel":
        return _byte_level(data, None)
    if kind == "Split":
        return _split(data, byte_level=False)
    if kind == "Sequence":
        parts = entry(data, "pretokenizers", "pre_tokenizer Sequence", list)
        kinds = [part.get("type") for part in parts]
        if kinds == ["Split", "ByteLevel"]:
            return _byte_level(parts[1], parts[0])
        if len(parts) == 1:
            return read_pre_tokenizer(parts[0])
        kind = f"Sequence of {' and '.join(map(str, kinds))}"
    if kind == "BertPreTokenizer":
        return pretokenize.BertPreTokenizer()
    patterns = {
        "Whitespace": pretokenize.RegexPreTokenizer.WORDS,
        "WhitespaceSplit": pretokenize.RegexPreTokenizer.NON_SPACE,
    }
    if kind in patterns:
        return pretokenize.RegexPreTokenizer(patterns[kind], byte_level=False, keep_gaps=False)
    if kind == "Metaspace":
        require(data, "pre_tokenizer Metaspace", split=(True, None))
        require(data, "pre_tokenizer Metaspace", prepend_scheme=("always", "never", None))
        never = data.get("prepend_scheme") == "never" or data.get("add_prefix_space") is False
        return pretokenize.MetaspacePreTokenizer(
            entry(data, "replacement", "pre_tokenizer Metaspace", str),
            prepend="never" if never else "always",
        )
    raise ValueError(
        f"tokenizer.json: pre_tokenizer {kind!r} is not supported; supported: ByteLevel, Split, "
        "Sequence of Split and ByteLevel, BertPreTokenizer, Whitespace, WhitespaceSplit, Metaspace"
    )


def _byte_level(data: Json, split: Json | None) -> pretokenize.RegexPreTokenizer:
    prefix = data.get("add_prefix_space", True)
    if split is None:
        require(data, "pre_tokenizer ByteLevel", use_regex=(True, None))
        return pretokenize.RegexPreTokenizer(add_prefix_space=prefix)
    require(data, "ByteLevel after Split", use_regex=(False,), add_prefix_space=(False,))
    return _split(split, byte_level=True)


def _split(data: Json, *, byte_level: bool) -> pretokenize.RegexPreTokenizer:
    pattern = entry(entry(data, "pattern", "Split", dict), "Regex", "the pattern of Split", str)
    behavior = (data.get("behavior"), data.get("invert", False))
    # "Removed" and inverted keeps the matches and drops the rest.
    if behavior not in (("Isolated", False), ("Removed", True)):
        raise ValueError(
            f"tokenizer.json: Split with behavior={behavior[0]!r} and invert={behavior[1]!r} is "
            "not supported; supported: 'Isolated' and False, 'Removed' and True"
        )
    return pretokenize.RegexPreTokenizer(
        pattern, byte_level=byte_level, keep_gaps=behavior[0] == "Isolated"
    )


def read_template(data: Json | None, special_tokens: Mapping[str, int]) -> Template | None:
    """The tokens around the text, from any of the entries that add some.

    Examples
    --------
    >>> bert = {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]}
    >>> read_template(bert, {"[CLS]": 2, "[SEP]": 3}).parts
    ('[CLS]', '$A', '[SEP]')
    """
    if data is None:
        return None
    kind = data.get("type")
    if kind == "ByteLevel":
        return None  # it moves offsets and changes no id
    if kind == "Sequence":
        parts = entry(data, "processors", "post_processor Sequence", list)
        parts = [part for part in parts if part.get("type") != "ByteLevel"]
        if len(parts) <= 1:
            return read_template(parts[0] if parts else None, special_tokens)
        kind = f"Sequence of {' and '.join(str(part.get('type')) for part in parts)}"
    if kind in ("BertProcessing", "RobertaProcessing"):
        cls, sep = entry(data, "cls", kind, list), entry(data, "sep", kind, list)
        return Template([cls[0], TEXT, sep[0]], dict([cls, sep]), data)
    if kind == "TemplateProcessing":
        named = entry(data, "special_tokens", "TemplateProcessing", dict)
        ids, parts = {}, []
        for part in entry(data, "single", "TemplateProcessing", list):
            if "Sequence" in part:
                parts.append(f"${part['Sequence']['id']}")
                continue
            name = entry(part, "SpecialToken", "TemplateProcessing", dict)["id"]
            found = named.get(name, {}).get("ids", [])
            if len(found) != 1:
                raise ValueError(
                    f"tokenizer.json: TemplateProcessing gives {name!r} the ids {found}; "
                    "exactly one is supported"
                )
            ids[name] = found[0]
            parts.append(name)
        return Template(parts, ids, data)
    raise ValueError(
        f"tokenizer.json: post_processor {kind!r} is not supported; supported: ByteLevel, "
        "BertProcessing, RobertaProcessing, TemplateProcessing"
    )
