r"""Pre-tokenization: cut text into words before any token is looked up.

A tokenizer never merges across a cut, so the cuts decide what a token can be: whether a space
belongs to the word after it, whether digits stand alone, whether ``'ll`` is a unit.

=========================  =====================================================================
code name                  what it cuts
=========================  =====================================================================
``RegexPreTokenizer``      GPT-2, GPT-4, Llama 3: the matches of one regular expression
``BertPreTokenizer``       BERT: at white space (dropped) and around every punctuation mark
``MetaspacePreTokenizer``  SentencePiece: spaces become ``▁``, a word starts at each ``▁``
=========================  =====================================================================

Every pre-tokenizer also knows its *safe boundaries*: places where cutting the text in two and
splitting each half gives the same words as splitting the whole. Streaming rests on them.

References: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section
2.2 and the released ``encoder.py``; the pattern strings published in OpenAI's ``tiktoken``; Kudo
and Richardson, "SentencePiece" (2018).

Differs from the libraries in: the version of the Unicode tables. ``\p{L}`` is what the installed
``regex`` package calls a letter; a code point assigned only recently may be a letter here and an
unknown sign in an older library, or the reverse.
"""

from __future__ import annotations

from typing import Protocol

import regex

from llmlib.tokenizers.normalize import Normalizer

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2: contractions, then letters, digits or other signs, each with at most one space before."""

GPT4_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""GPT-4 (``cl100k_base``) and Llama 3: digits in threes, line ends kept with punctuation."""

QWEN2_PATTERN = GPT4_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
"""Qwen 2: as GPT-4, but each digit alone."""

GPT4O_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""GPT-4o (``o200k_base``): also cuts where an upper-case letter follows lower-case ones."""

# A boundary is safe when no alternative of the pattern can match across it, and no look-ahead
# that ends at it can tell the rest of the text from the end of the text.
# Where the words drop white space, any white space that no normalizer removes will do.
_BEFORE_SPACE = r"(?=[ \t\n\r\p{Z}])"
# Under a normalizer only the plainest places are safe: a letter or digit that stays one (accents
# may be composed or dropped, a compatibility character may become a space), then U+0020; a
# Chinese character, then a Chinese mark, if no spaces are put between them.
_UNDER_NORMALIZER = r"(?<=[\p{Lu}\p{Ll}\p{Nd}])(?= )"
_CHINESE_CLAUSE = r"|(?<=[\u4e00-\u9fff])(?=[\u3001\u3002\uff0c])"
_AFTER_WORD_BEFORE_SPACE = r"(?<=\S)(?=[^\S\r\n])|(?<=\p{N})(?=\P{N})"
SAFE_BOUNDARIES = {
    GPT2_PATTERN: r"(?<=\S)(?=\s)|(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})",
    GPT4_PATTERN: _AFTER_WORD_BEFORE_SPACE + r"|(?<=\p{L})(?=\P{L})",
    QWEN2_PATTERN: _AFTER_WORD_BEFORE_SPACE + r"|(?<=\p{L})(?=\P{L})",
    GPT4O_PATTERN: _AFTER_WORD_BEFORE_SPACE + r"|(?<=\p{L})(?=[^\p{L}\p{M}'])",
}
"""Pattern -> where text may be cut without changing the words (see ``encode_iterable``)."""


def _reversed(boundary: str) -> regex.Pattern:
    """Compile so that ``search`` finds the last match first."""
    return regex.compile(f"(?r)(?:{boundary})")


class PreTokenizer(Protocol):
    """What a tokenizer needs to know about its words."""

    def safe_boundary(self, normalizer: Normalizer | None) -> regex.Pattern | None:
        """Reversed pattern that matches, with no width, where text may be cut; None if nowhere.

        The text is cut first, then the normalizer, if there is one, changes each part.
        """

    def begin(self, text: str) -> str:
        """Prepare the start of a section, e.g. put a space before its first word."""

    def split(self, text: str) -> list[str]:
        """Cut into words."""

    def to_json(self) -> dict:
        """The entry ``pre_tokenizer`` of a ``tokenizer.json`` file."""


class RegexPreTokenizer:
    """Words are the matches of a regular expression.

    Parameters
    ----------
    pattern
        A pattern for the ``regex`` package, or one of the names ``"gpt2"``, ``"gpt4"``,
        ``"qwen2"``, ``"gpt4o"``.
    add_prefix_space
        Put a space before a text that does not start with one, so that its first word gets the
        same token as the same word further on.
    byte_level
        The words go to a byte-level vocabulary. Only the file format needs to know.
    keep_gaps
        Text between two matches becomes a word too (True) or is dropped (False).

    Raises
    ------
    ValueError
        If the pattern does not compile, or a prefix space is asked for with another pattern than
        that of GPT-2.

    Examples
    --------
    >>> RegexPreTokenizer("gpt2").split("I'll pay 12345 yuan,  ok?")
    ['I', "'ll", ' pay', ' 12345', ' yuan', ',', ' ', ' ok', '?']
    >>> RegexPreTokenizer("gpt4").split("I'll pay 12345 yuan,  ok?")
    ['I', "'ll", ' pay', ' ', '123', '45', ' yuan', ',', ' ', ' ok', '?']
    >>> RegexPreTokenizer("gpt2").split("我们在2024年去了北京。")
    ['我们在', '2024', '年去了北京', '。']
    """

    NAMES = {  # noqa: RUF012 - a constant table
        "gpt2": GPT2_PATTERN,
        "gpt4": GPT4_PATTERN,
        "qwen2": QWEN2_PATTERN,
        "gpt4o": GPT4O_PATTERN,
    }
    WORDS = r"\w+|[^\w\s]+"
    """The pattern that the file format calls ``Whitespace``."""
    NON_SPACE = r"\S+"
    """The pattern that the file format calls ``WhitespaceSplit``."""

    def __init__(
        self,
        pattern: str = "gpt2",
        *,
        add_prefix_space: bool = False,
        byte_level: bool = True,
        keep_gaps: bool = True,
    ):
        self.pattern = self.NAMES.get(pattern, pattern)
        self.add_prefix_space = add_prefix_space
        self.byte_level = byte_level
        self.keep_gaps = keep_gaps
        try:
            self._compiled = regex.compile(self.pattern)
        except regex.error as error:
            names = ", ".join(sorted(self.NAMES))
            raise ValueError(
                f"pre-tokenization pattern {self.pattern!r} is no valid regular expression "
                f"({error}); pass a pattern of the regex package or one of {names}"
            ) from None
        if add_prefix_space and self.pattern != GPT2_PATTERN:
            raise ValueError(
                f"add_prefix_space with the pattern {self.pattern!r} cannot be written to a file; "
                "use pattern 'gpt2' or no prefix space"
            )
        # The patterns of the table match every character, so findall alone loses nothing.
        self._covers_all = self.pattern in SAFE_BOUNDARIES or not keep_gaps

    def safe_boundary(self, normalizer: Normalizer | None) -> regex.Pattern | None:
        """Known for the patterns named in this module, None for any other."""
        if not self.keep_gaps and self.pattern in (self.WORDS, self.NON_SPACE):
            return _reversed(_BEFORE_SPACE)
        safe = SAFE_BOUNDARIES.get(self.pattern)
        if safe is None:
            return None
        if normalizer is not None:
            safe = _UNDER_NORMALIZER + ("" if normalizer.adds_spaces else _CHINESE_CLAUSE)
        return _reversed(safe)

    def begin(self, text: str) -> str:
        """The text with a space in front, if ``add_prefix_space`` asks for one."""
        if self.add_prefix_space and not text.startswith(" "):
            return " " + text
        return text

    def split(self, text: str) -> list[str]:
        """Cut into words; together they are the whole text unless gaps are dropped."""
        if self._covers_all and self._compiled.groups == 0:
            return self._compiled.findall(text)
        words, end = [], 0
        for match in self._compiled.finditer(text):
            if self.keep_gaps and match.start() > end:
                words.append(text[end : match.start()])
            if match.group():
                words.append(match.group())
            end = match.end()
        if self.keep_gaps and end < len(text):
            words.append(text[end:])
        return words

    def to_json(self) -> dict:
        """``ByteLevel`` for GPT-2, ``Split`` and ``ByteLevel`` for others."""
        if not self.byte_level:
            if not self.keep_gaps and self.pattern == self.WORDS:
                return {"type": "Whitespace"}
            if not self.keep_gaps and self.pattern == self.NON_SPACE:
                return {"type": "WhitespaceSplit"}
            return self._split_json()
        byte_level = {
            "type": "ByteLevel",
            "add_prefix_space": self.add_prefix_space,
            "trim_offsets": True,
            "use_regex": self.pattern == GPT2_PATTERN,
        }
        if self.pattern == GPT2_PATTERN:
            return byte_level
        return {"type": "Sequence", "pretokenizers": [self._split_json(), byte_level]}

    def _split_json(self) -> dict:
        behavior = "Isolated" if self.keep_gaps else "Removed"
        return {
            "type": "Split",
            "pattern": {"Regex": self.pattern},
            "behavior": behavior,
            "invert": not self.keep_gaps,
        }


class BertPreTokenizer:
    """White space separates words and is dropped; every punctuation mark is a word of its own.

    Examples
    --------
    >>> BertPreTokenizer().split("Don't stop: $5!")
    ['Don', "'", 't', 'stop', ':', '$', '5', '!']
    """

    # All ASCII signs count as punctuation for BERT, also the ones Unicode calls symbols.
    PUNCTUATION = r"\p{P}!-/:-@\[-`{-~"

    def __init__(self):
        self._compiled = regex.compile(rf"[{self.PUNCTUATION}]|[^\s{self.PUNCTUATION}]+")

    def safe_boundary(self, normalizer: Normalizer | None) -> regex.Pattern | None:
        """Before white space; between two Chinese characters if they are put apart anyway."""
        if normalizer is not None and normalizer.adds_spaces:
            return _reversed(_BEFORE_SPACE + r"|(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])")
        return _reversed(_BEFORE_SPACE)

    def begin(self, text: str) -> str:
        """The text itself."""
        return text

    def split(self, text: str) -> list[str]:
        """Cut into words and punctuation marks."""
        return self._compiled.findall(text)

    def to_json(self) -> dict:
        """``{"type": "BertPreTokenizer"}``."""
        return {"type": "BertPreTokenizer"}


class MetaspacePreTokenizer:
    """SentencePiece's words: a space is written ``▁`` and starts a word.

    Parameters
    ----------
    replacement
        The one character that stands for a space.
    prepend
        ``"always"`` puts it before a text that does not start with it; ``"never"`` does not.

    Examples
    --------
    >>> words = MetaspacePreTokenizer()
    >>> words.split(words.begin("Hello  big world"))
    ['▁Hello', '▁', '▁big', '▁world']
    """

    def __init__(self, replacement: str = "▁", *, prepend: str = "always"):
        if len(replacement) != 1:
            raise ValueError(f"replacement {replacement!r} must be one character, such as '▁'")
        if prepend not in ("always", "never"):
            raise ValueError(f"prepend {prepend!r} is not known: use 'always' or 'never'")
        self.replacement = replacement
        self.prepend = prepend
        mark = regex.escape(replacement)
        self._compiled = regex.compile(f"{mark}?[^{mark}]+|{mark}")

    def safe_boundary(self, normalizer: Normalizer | None) -> regex.Pattern | None:
        """Before any U+0020: the mark that replaces it starts a word."""
        return _reversed(r"(?<=[^ ])(?= )")

    def begin(self, text: str) -> str:
        """The text with the mark in front, unless it is there or is not wanted."""
        if self.prepend == "never" or text.startswith((" ", self.replacement)):
            return text
        return self.replacement + text

    def split(self, text: str) -> list[str]:
        """Cut before each mark; only U+0020 is a space here."""
        return self._compiled.findall(text.replace(" ", self.replacement))

    def to_json(self) -> dict:
        """The ``Metaspace`` entry; the decoder's entry is the same."""
        return {
            "type": "Metaspace",
            "replacement": self.replacement,
            "prepend_scheme": self.prepend,
            "split": True,
        }
