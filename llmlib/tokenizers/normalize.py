"""Normalization: change the text before it is cut into words.

Byte-level tokenizers need none: they keep every byte. WordPiece and Unigram vocabularies are
small lists of characters, so their text is first made more uniform.

=======================  ======================================================================
code name                what it does
=======================  ======================================================================
``UnicodeNormalizer``    NFC, NFD, NFKC or NFKD: one spelling for equal characters
``Lowercase``            each character in lower case
``StripAccents``         drop combining marks (after NFD or NFKD)
``BertNormalizer``       BERT: control characters out, spaces around Chinese, lower case, accents
``NormalizerSequence``   several, one after another
=======================  ======================================================================

References: Devlin et al., "BERT" (2019), the released ``tokenization.py``; Unicode Standard Annex
15 (normalization forms).

Differs from the ``tokenizers`` library in: the Unicode version of its tables (older there; it
misses some marks and signs assigned after Unicode 8), and U+2B820 to U+2B91F, which it does not
treat as Chinese although BERT's own list does.
"""

import unicodedata
from collections.abc import Sequence
from typing import Protocol

import regex


class Normalizer(Protocol):
    """Text in, text out, and an entry for the file."""

    adds_spaces: bool
    """Whether spaces are put around letters, as BERT does with Chinese characters."""

    def normalize(self, text: str) -> str:
        """The changed text."""

    def to_json(self) -> dict:
        """The entry ``normalizer`` of a ``tokenizer.json`` file."""


def lowercase(text: str) -> str:
    """Lower case, one character at a time.

    ``str.lower`` looks at the neighbours of a Greek sigma; the tokenizers in use do not.

    Examples
    --------
    >>> lowercase("ΟΔΟΣ"), "ΟΔΟΣ".lower()
    ('οδοσ', 'οδος')
    """
    if "Σ" in text:
        return "σ".join(part.lower() for part in text.split("Σ"))
    return text.lower()


class UnicodeNormalizer:
    """One of Unicode's four normalization forms.

    Examples
    --------
    >>> UnicodeNormalizer("NFKC").normalize("ﬁne ①")
    'fine 1'
    """

    adds_spaces = False

    def __init__(self, form: str):
        if form not in ("NFC", "NFD", "NFKC", "NFKD"):
            raise ValueError(f"normalization form {form!r}: use NFC, NFD, NFKC or NFKD")
        self.form = form

    def normalize(self, text: str) -> str:
        """The text in this form."""
        return unicodedata.normalize(self.form, text)

    def to_json(self) -> dict:
        """``{"type": "NFC"}`` and so on."""
        return {"type": self.form}


class Lowercase:
    """Lower case by `lowercase`."""

    adds_spaces = False

    def normalize(self, text: str) -> str:
        """The text in lower case."""
        return lowercase(text)

    def to_json(self) -> dict:
        """``{"type": "Lowercase"}``."""
        return {"type": "Lowercase"}


class StripAccents:
    """Drop combining marks; decompose the text first (NFD or NFKD).

    Examples
    --------
    >>> both = NormalizerSequence([UnicodeNormalizer("NFD"), StripAccents()])
    >>> both.normalize("café")
    'cafe'
    """

    adds_spaces = False

    _MARKS = regex.compile(r"\p{M}+")

    def normalize(self, text: str) -> str:
        """The text without combining marks."""
        return self._MARKS.sub("", text)

    def to_json(self) -> dict:
        """``{"type": "StripAccents"}``."""
        return {"type": "StripAccents"}


class BertNormalizer:
    """What BERT does to text before WordPiece.

    Parameters
    ----------
    clean_text
        Drop control characters and U+FFFD, turn every white space into a space.
    handle_chinese_chars
        Put a space on both sides of each Chinese character: each is a word.
    strip_accents
        Drop accents; None means "if lower case is asked for", as in the released models.
    lowercase
        Lower case, as in the "uncased" models.

    Examples
    --------
    >>> BertNormalizer().normalize("Café\\t北京!")
    'cafe  北  京 !'
    >>> BertNormalizer(lowercase=False).normalize("Café\\t北京!")
    'Café  北  京 !'
    """

    _REMOVED = regex.compile(r"[\p{Cc}\p{Cf}\p{Co}\ufffd--\t\n\r]+", regex.V1)
    _SPACE = regex.compile(r"\s")
    _CHINESE = regex.compile(
        "([\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
        "\U0002b740-\U0002b81f\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f])"
    )
    _NONSPACING = regex.compile(r"\p{Mn}+")

    def __init__(
        self,
        *,
        clean_text: bool = True,
        handle_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        lowercase: bool = True,
    ):
        self.clean_text = clean_text
        self.handle_chinese_chars = self.adds_spaces = handle_chinese_chars
        self.strip_accents = strip_accents
        self.lowercase = lowercase

    def normalize(self, text: str) -> str:
        """The text as BERT sees it."""
        if self.clean_text:
            text = self._SPACE.sub(" ", self._REMOVED.sub("", text))
        if not text.isascii():
            if self.handle_chinese_chars:
                text = self._CHINESE.sub(r" \1 ", text)
            if self.lowercase if self.strip_accents is None else self.strip_accents:
                text = self._NONSPACING.sub("", unicodedata.normalize("NFD", text))
        return lowercase(text) if self.lowercase else text

    def to_json(self) -> dict:
        """The ``BertNormalizer`` entry with its four settings."""
        return {
            "type": "BertNormalizer",
            "clean_text": self.clean_text,
            "handle_chinese_chars": self.handle_chinese_chars,
            "strip_accents": self.strip_accents,
            "lowercase": self.lowercase,
        }


class NormalizerSequence:
    """Several normalizers, applied in order."""

    def __init__(self, normalizers: Sequence[Normalizer]):
        self.normalizers = tuple(normalizers)
        self.adds_spaces = any(normalizer.adds_spaces for normalizer in self.normalizers)

    def normalize(self, text: str) -> str:
        """The text after all of them."""
        for normalizer in self.normalizers:
            text = normalizer.normalize(text)
        return text

    def to_json(self) -> dict:
        """The ``Sequence`` entry."""
        return {"type": "Sequence", "normalizers": [n.to_json() for n in self.normalizers]}
