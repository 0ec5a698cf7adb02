"""WordPiece: the tokenizer of BERT.

A word is cut greedily from the left: take the longest token of the vocabulary that the word
starts with, then the longest ``##`` token that the rest starts with, and so on. A word that
cannot be cut to the end is one ``[UNK]``.

References: Schuster and Nakajima, "Japanese and Korean Voice Search" (2012); Devlin et al.,
"BERT" (2019), the released ``tokenization.py``.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

from llmlib.tokenizers.normalize import BertNormalizer, Normalizer
from llmlib.tokenizers.pretokenize import BertPreTokenizer, PreTokenizer
from llmlib.tokenizers.special_tokens import add_special_tokens, check_special_tokens, invert_vocab
from llmlib.tokenizers.template import Template
from llmlib.tokenizers.tokenizer import Tokenizer
from llmlib.tokenizers.tokenizer_json import (
    check_model,
    entry,
    require,
    shared_parts,
    whole_vocab,
)
from llmlib.tokenizers.word_counts import count_words
from llmlib.tokenizers.wordpiece_training import (
    PREFIX,
    Score,
    fast_tokens,
    first_tokens,
    likelihood_gain,
)


class WordPieceTokenizer(Tokenizer):
    """WordPiece. Build one with `train`, `from_vocab` or `load`.

    Examples
    --------
    >>> vocab = dict(enumerate(["[UNK]", "un", "##afford", "##able", "price", "##s", "!"]))
    >>> tokenizer = WordPieceTokenizer.from_vocab(vocab, ["[UNK]"])
    >>> ids = tokenizer.encode("Unaffordable prices!")
    >>> ids, [vocab[i] for i in ids]
    ([1, 2, 3, 4, 5, 6], ['un', '##afford', '##able', 'price', '##s', '!'])
    >>> tokenizer.decode(ids), tokenizer.encode("unafraid")
    ('unaffordable prices!', [0])
    """

    def __init__(
        self,
        vocab: Mapping[int, str],
        special_tokens: Mapping[str, int],
        *,
        unk_token: str = "[UNK]",
        prefix: str = PREFIX,
        max_word_length: int = 100,
        cleanup: bool = True,
        pre_tokenizer: PreTokenizer | None = None,
        normalizer: Normalizer | None = None,
        template: Template | None = None,
        visible_tokens: Collection[str] = (),
    ):
        super().__init__(
            special_tokens,
            pre_tokenizer=BertPreTokenizer() if pre_tokenizer is None else pre_tokenizer,
            normalizer=normalizer,
            template=template,
            visible_tokens=visible_tokens,
        )
        self._vocab = dict(vocab)
        self._ids = invert_vocab(self._vocab)
        if unk_token not in self._ids:
            raise ValueError(
                f"unk_token {unk_token!r} is not in the vocabulary; words that cannot be cut "
                "need it: add it"
            )
        self.unk_token = unk_token
        self.prefix = prefix
        self.max_word_length = max_word_length
        self.cleanup = cleanup
        self._unknown = (self._ids[unk_token],)
        self._longest = max(map(len, self._ids))

    @property
    def vocab(self) -> dict[int, str]:
        """Id -> token, the special tokens included."""
        return self._vocab

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        *,
        unk_token: str = "[UNK]",
        lowercase: bool = True,
        score: Score = likelihood_gain,
        min_frequency: int = 2,
        limit_alphabet: int | None = None,
        template: Sequence[str] | None = None,
    ) -> Self:
        """Learn a vocabulary from texts, normalized and cut into words as BERT does.

        The special tokens have the first ids, then come the characters in order of code points,
        then the joined tokens in the order in which they were learned.

        Parameters
        ----------
        texts
            Strings.
        vocab_size
            Number of tokens, special ones included.
        special_tokens
            Strings that are one token; ``unk_token`` is put before them if it is not listed.
        unk_token
            What a word becomes that cannot be cut.
        lowercase
            Lower case without accents ("uncased"), or text as it is ("cased").
        score
            `llmlib.tokenizers.wordpiece_training.likelihood_gain` or ``pair_count``.
        min_frequency
            Pairs that occur less often are not joined.
        limit_alphabet
            Number of characters to keep, the most frequent; None for all.
        template
            Tokens around an encoded text, say ``["[CLS]", "$A", "[SEP]"]``.

        Raises
        ------
        ValueError
            If ``vocab_size`` has no room for the special tokens and the characters.
        """
        special = check_special_tokens(special_tokens)
        if unk_token not in special:
            special.insert(0, unk_token)
        normalizer = BertNormalizer(lowercase=lowercase)
        counts = count_words(texts, BertPreTokenizer(), special, normalizer)
        alphabet = len(first_tokens(counts, limit_alphabet))
        if vocab_size < len(special) + alphabet:
            raise ValueError(
                f"vocab_size {vocab_size} is less than {len(special) + alphabet}: {len(special)} "
                f"special tokens and {alphabet} characters need an id each; raise vocab_size or "
                "set limit_alphabet"
            )
        size = vocab_size - len(special)
        tokens = fast_tokens(
            counts, size, score=score, min_frequency=min_frequency, limit_alphabet=limit_alphabet
        )
        tokens = dict.fromkeys([*special, *tokens])
        return cls.from_vocab(
            dict(enumerate(tokens)),
            special,
            unk_token=unk_token,
            lowercase=lowercase,
            template=template,
        )

    @classmethod
    def from_vocab(
        cls,
        vocab: Mapping[int, str],
        special_tokens: Sequence[str] = (),
        *,
        unk_token: str = "[UNK]",
        lowercase: bool = True,
        template: Sequence[str] | None = None,
    ) -> Self:
        """Build a tokenizer from a vocabulary made elsewhere.

        Parameters
        ----------
        vocab
            Id -> token; a token inside a word starts with ``##``.
        special_tokens
            Strings that are never split. One that is in ``vocab`` keeps its id; others get the
            next free ids.
        unk_token, lowercase, template
            As in `train`.

        Raises
        ------
        ValueError
            If two ids stand for the same token, or ``unk_token`` is missing.
        """
        vocab = dict(vocab)
        special = add_special_tokens(vocab, special_tokens)
        return cls(
            vocab,
            special,
            unk_token=unk_token,
            pre_tokenizer=BertPreTokenizer(),
            normalizer=BertNormalizer(lowercase=lowercase),
            template=None if template is None else Template(template, special),
        )

    def _encode_words(self, words: Sequence[str]) -> Iterable[Sequence[int]]:
        return map(self._encode_word, words)

    def _encode_word(self, word: str) -> Sequence[int]:
        if len(word) > self.max_word_length:
            return self._unknown
        ids, start, prefix = [], 0, ""
        while start < len(word):
            end = min(len(word), start + self._longest)
            while end > start and prefix + word[start:end] not in self._ids:
                end -= 1
            if end == start:
                return self._unknown
            ids.append(self._ids[prefix + word[start:end]])
            start, prefix = end, self.prefix
        return tuple(ids)

    def _join_tokens(self, ids: list[int]) -> str:
        parts = []
        for i in ids:
            token = self._vocab[i]
            if parts:
                inside = token.startswith(self.prefix)
                token = token[len(self.prefix) :] if inside else " " + token
            parts.append(tidy(token) if self.cleanup else token)
        return "".join(parts)

    def _decoder_json(self) -> dict:
        return {"type": "WordPiece", "prefix": self.prefix, "cleanup": self.cleanup}

    def _model_json(self) -> dict:
        return {
            "type": "WordPiece",
            "unk_token": self.unk_token,
            "continuing_subword_prefix": self.prefix,
            "max_input_chars_per_word": self.max_word_length,
            "vocab": {token: i for i, token in sorted(self._vocab.items())},
        }

    @classmethod
    def from_json(cls, data: dict) -> Self:
        """The tokenizer described by the content of a ``tokenizer.json`` file."""
        model = check_model(data, "WordPiece")
        prefix = entry(model, "continuing_subword_prefix", "model WordPiece", str)
        decoder = data.get("decoder") or {}
        require(decoder, "the decoder", type=("WordPiece", None), prefix=(prefix, None))
        parts = shared_parts(data)
        vocab = entry(model, "vocab", "model WordPiece", dict)
        return cls(
            whole_vocab(vocab, parts["special_tokens"]),
            unk_token=entry(model, "unk_token", "model WordPiece", str),
            prefix=prefix,
            max_word_length=entry(model, "max_input_chars_per_word", "model WordPiece", int),
            cleanup=decoder.get("cleanup", True),
            **parts,
        )


def tidy(token: str) -> str:
    """Take back the spaces that joining put before punctuation, as BERT's decoder does.

    Examples
    --------
    >>> tidy(" ."), tidy(" n't"), tidy(" word")
    ('.', "n't", ' word')
    """
    for spaced in (" .", " ?", " !", " ,"):
        token = token.replace(spaced, spaced[1:])
    token = token.replace(" ' ", "'")
    for spaced in (" n't", " 'm", " 's", " 've", " 're"):
        token = token.replace(spaced, spaced[1:])
    return token
