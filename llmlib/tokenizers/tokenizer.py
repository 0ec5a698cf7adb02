"""The path from text to ids that all tokenizers share.

    text -> sections between special tokens -> normalize -> words -> ids of each word

Only the last step differs between BPE, WordPiece and Unigram. It is also the slow one, and text
repeats its words (Zipf's law): each different word is encoded once, and its ids are kept in a
bounded cache. All other words of a text cost one dictionary look-up.

``encode_iterable`` walks the same path over a stream, cut where a cut changes nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import index
from pathlib import Path
from typing import Self

from llmlib.tokenizers.normalize import Normalizer
from llmlib.tokenizers.pretokenize import PreTokenizer
from llmlib.tokenizers.special_tokens import SpecialTokens
from llmlib.tokenizers.template import Template
from llmlib.tokenizers.tokenizer_json import malformed_refused, read_json, write_json


class WordCache:
    """Word -> ids, for the words met last.

    When ``limit`` words are held, they become the old generation and the former old generation is
    forgotten; a word that is asked for again moves back.

    Examples
    --------
    >>> cache = WordCache(limit=2)
    >>> cache.keep({"a": [1], "bb": [2]})
    >>> cache.keep({"ccc": [3]})
    >>> sorted(cache.find({"a", "ccc", "dddd"}).items())
    [('a', [1]), ('ccc', [3])]
    >>> cache.keep({"dddd": [4]})
    >>> sorted(cache.find({"a", "bb", "dddd"}))
    ['a', 'dddd']
    """

    LONGEST = 64
    """Longer words hardly ever repeat and are not kept."""

    def __init__(self, limit: int = 1 << 14):
        self.limit = limit
        self._recent: dict[str, Sequence[int]] = {}
        self._old: dict[str, Sequence[int]] = {}

    def __len__(self) -> int:
        return len(self._recent) + len(self._old)

    def find(self, words: Iterable[str]) -> dict[str, Sequence[int]]:
        """Those of the words that are held, with their ids."""
        recent, old = self._recent, self._old
        found, again = {}, {}
        for word in words:
            ids = recent.get(word)
            if ids is None:
                ids = old.get(word)
                if ids is None:
                    continue
                again[word] = ids
            found[word] = ids
        self.keep(again)
        return found

    def keep(self, found: Mapping[str, Sequence[int]]) -> None:
        """Hold these words too."""
        for word, ids in found.items():
            if len(word) > self.LONGEST:
                continue
            if len(self._recent) >= self.limit:
                self._old, self._recent = self._recent, {}
            self._recent[word] = ids


class Tokenizer(ABC):
    """What `BPETokenizer`, `WordPieceTokenizer` and `UnigramTokenizer` have in common.

    Attributes
    ----------
    special_tokens : dict
        Special token -> id. They are found first and never split.
    visible_tokens : frozenset
        Those of them that ``decode(..., skip_special_tokens=True)`` does not leave out.
    """

    def __init__(
        self,
        special_tokens: Mapping[str, int],
        *,
        pre_tokenizer: PreTokenizer,
        normalizer: Normalizer | None = None,
        template: Template | None = None,
        visible_tokens: Collection[str] = (),
    ):
        self.special_tokens = dict(special_tokens)
        self.visible_tokens = frozenset(visible_tokens)
        self.pre_tokenizer = pre_tokenizer
        self.normalizer = normalizer
        self.template = template
        self._special = SpecialTokens(self.special_tokens)
        self._boundary = pre_tokenizer.safe_boundary(normalizer)
        self._cache = WordCache()

    @property
    @abstractmethod
    def vocab(self) -> dict:
        """Id -> token, the special tokens included."""

    @property
    def vocab_size(self) -> int:
        """Largest id plus one: the number of rows that an embedding needs."""
        return max(self.vocab) + 1

    def __len__(self) -> int:
        return self.vocab_size

    @abstractmethod
    def _encode_words(self, words: Sequence[str]) -> Iterable[Sequence[int]]:
        """Ids of each of several words as the pre-tokenizer cut them."""

    @abstractmethod
    def _join_tokens(self, ids: list[int]) -> str:
        """Text of ids that are all in the vocabulary."""

    @abstractmethod
    def _model_json(self) -> dict:
        """The entry ``model`` of a ``tokenizer.json`` file."""

    @abstractmethod
    def _decoder_json(self) -> dict:
        """The entry ``decoder`` of a ``tokenizer.json`` file."""

    def to_json(self) -> dict:
        """The tokenizer as the content of a ``tokenizer.json`` file."""
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        by_id = sorted(self.special_tokens.items(), key=lambda item: item[1])
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": i, "content": t, **flags, "special": t not in self.visible_tokens}
                for t, i in by_id
            ],
            "normalizer": None if self.normalizer is None else self.normalizer.to_json(),
            "pre_tokenizer": self.pre_tokenizer.to_json(),
            "post_processor": None if self.template is None else self.template.to_json(),
            "decoder": self._decoder_json(),
            "model": self._model_json(),
        }

    @classmethod
    @abstractmethod
    def from_json(cls, data: dict) -> Self:
        """The tokenizer described by the content of a ``tokenizer.json`` file."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Turn a text into ids.

        Parameters
        ----------
        text
            Any string of Unicode characters.
        add_special_tokens
            Put the tokens of the template around the text, if the tokenizer has one
            (BERT's ``[CLS]`` and ``[SEP]``).

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            If ``text`` is no string or holds half of a surrogate pair.
        """
        if not isinstance(text, str):
            raise ValueError(f"encode takes a string, not {type(text).__name__} {text!r:.60}")
        ids: list[int] = []
        for piece in self._special.cut(text):
            if piece.special_id is None:
                ids.extend(self._encode_part(piece.text, begins=True) or ())
            else:
                ids.append(piece.special_id)
        if self.template is not None and add_special_tokens:
            return [*self.template.before, *ids, *self.template.after]
        return ids

    def encode_iterable(
        self, iterable: Iterable[str], *, add_special_tokens: bool = True
    ) -> Iterator[int]:
        """Turn a stream of text into a stream of ids, in bounded memory.

        Gives the ids of ``encode("".join(iterable))``: where the stream is cut into strings has
        no influence, even inside a word or a special token.

        Parameters
        ----------
        iterable
            Strings: an open file, a generator of documents.

        Yields
        ------
        int

        Notes
        -----
        Held at any time: one string of the stream, some thousand characters, and the longest run
        of text without a place where a cut is known to change nothing (in practice, a word).
        With a pre-tokenization pattern that this library does not know there is no such place,
        and a section between two special tokens is held as a whole.
        """
        if isinstance(iterable, str):
            iterable = [iterable]
        template = self.template if add_special_tokens else None
        if template is not None:
            yield from template.before
        begins = True
        for piece in self._special.cut_stream(iterable, self._boundary):
            if piece.special_id is not None:
                yield piece.special_id
                continue
            begins = begins or piece.begins
            ids = self._encode_part(piece.text, begins)
            if ids is not None:
                yield from ids
                begins = False
        if template is not None:
            yield from template.after

    def _words(self, text: str, begins: bool) -> list[str] | None:
        """Words of (part of) a section; None if the normalizer left nothing of it."""
        if self.normalizer is not None:
            text = self.normalizer.normalize(text)
            if not text:
                return None
        if begins:
            text = self.pre_tokenizer.begin(text)
        return self.pre_tokenizer.split(text)

    def _encode_part(self, text: str, begins: bool) -> list[int] | None:
        """Ids of (part of) a section; None if the normalizer left nothing of it."""
        words = self._words(text, begins)
        if words is None:
            return None
        different = set(words)
        known = self._cache.find(different)
        missing = [word for word in different if word not in known]
        if missing:
            try:
                found = dict(zip(missing, self._encode_words(missing), strict=True))
            except UnicodeEncodeError:
                half = next(c for c in text if "\ud800" <= c <= "\udfff")
                raise ValueError(
                    f"the text holds U+{ord(half):04X}, half of a surrogate pair, which is no "
                    "character; replace it first: text.encode('utf-16', 'surrogatepass')"
                    ".decode('utf-16', 'replace')"
                ) from None
            self._cache.keep(found)
            known.update(found)
        return list(chain.from_iterable(map(known.__getitem__, words)))

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """Turn ids into text.

        Parameters
        ----------
        ids
            Any iterable of integers, arrays and tensors of one dimension included.
        skip_special_tokens
            Leave special tokens out.

        Raises
        ------
        ValueError
            If an id is not in the vocabulary.
        """
        ids = list(map(index, ids))
        vocab = self.vocab
        unknown = next((i for i in ids if i not in vocab), None)
        if unknown is not None:
            raise ValueError(
                f"id {unknown} is not in the vocabulary (ids 0 to {self.vocab_size - 1}); "
                "decode with the tokenizer that made the ids"
            )
        if skip_special_tokens:
            skipped = {
                i for token, i in self.special_tokens.items() if token not in self.visible_tokens
            }
            ids = [i for i in ids if i not in skipped]
        return self._join_tokens(ids)

    def save(self, path: str | Path) -> None:
        """Write a ``tokenizer.json`` file that ``tokenizers`` and ``transformers`` read."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a ``tokenizer.json`` file.

        Raises
        ------
        ValueError
            If the file is malformed or asks for something that is not supported, which is then
            named: nothing in it is ignored. Only where it names no decoder, that of the model is
            used.
        """
        data = read_json(path)
        with malformed_refused():
            return cls.from_json(data)
