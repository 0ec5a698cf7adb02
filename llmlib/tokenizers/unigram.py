"""Unigram: the tokenizer of SentencePiece models such as T5, ALBERT and XLNet.

Every piece has a log-probability; a word is cut in the way that makes the sum largest. With
best(j) the score of the best way to cut the first j characters (Viterbi, 1967):

    best(0) = 0,    best(j) = max over pieces that end at j of  best(j - length) + score

A character that no piece covers is unknown; it costs more than any piece, and neighbouring unknown
characters become one ``<unk>``.

References: Kudo, "Subword Regularization" (2018); Kudo and Richardson, "SentencePiece" (2018).

Differs from SentencePiece in: no byte fallback, and no built-in normalization (NFKC can be put
before it).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

from llmlib.tokenizers.normalize import Normalizer
from llmlib.tokenizers.pretokenize import MetaspacePreTokenizer, PreTokenizer
from llmlib.tokenizers.special_tokens import (
    add_special_tokens,
    check_special_tokens,
    invert_vocab,
)
from llmlib.tokenizers.template import Template
from llmlib.tokenizers.tokenizer import Tokenizer
from llmlib.tokenizers.tokenizer_json import (
    check_model,
    entry,
    require,
    shared_parts,
    whole_vocab,
)
from llmlib.tokenizers.unigram_training import train_unigram
from llmlib.tokenizers.word_counts import count_words

UNKNOWN_PENALTY = 10.0
"""How much less than the worst piece an unknown character scores."""
END = ""
"""Key in a trie node that holds the id of the piece that ends there."""


class UnigramTokenizer(Tokenizer):
    """Unigram. Build one with `train`, `from_vocab` or `load`.

    Examples
    --------
    >>> vocab = dict(enumerate(["<unk>", "▁", "un", "able", "u", "n", "a", "b", "l", "e", "▁un"]))
    >>> scores = [0.0, -3.0, -2.0, -2.5, -4.0, -4.0, -4.0, -4.0, -4.0, -4.0, -3.5]
    >>> tokenizer = UnigramTokenizer.from_vocab(vocab, scores)
    >>> ids = tokenizer.encode("unable nub")
    >>> ids, [vocab[i] for i in ids]
    ([10, 3, 1, 5, 4, 7], ['▁un', 'able', '▁', 'n', 'u', 'b'])
    >>> tokenizer.decode(ids), tokenizer.encode("a能力")
    ('unable nub', [1, 6, 0])
    """

    def __init__(
        self,
        vocab: Mapping[int, str],
        scores: Mapping[int, float],
        special_tokens: Mapping[str, int],
        *,
        unk_token: str | None = "<unk>",
        pre_tokenizer: PreTokenizer | None = None,
        normalizer: Normalizer | None = None,
        template: Template | None = None,
        visible_tokens: Collection[str] = (),
    ):
        super().__init__(
            special_tokens,
            pre_tokenizer=MetaspacePreTokenizer() if pre_tokenizer is None else pre_tokenizer,
            normalizer=normalizer,
            template=template,
            visible_tokens=visible_tokens,
        )
        self._vocab = dict(vocab)
        self._ids = invert_vocab(self._vocab)
        self.scores = dict(scores)
        if unk_token is not None and unk_token not in self._ids:
            raise ValueError(
                f"unk_token {unk_token!r} is not in the vocabulary; unknown characters need it: "
                "add it, or pass unk_token=None"
            )
        self.unk_token = unk_token
        self._unknown = None if unk_token is None else self._ids[unk_token]
        self._unknown_score = min(self.scores.values(), default=0.0) - UNKNOWN_PENALTY
        self._trie: dict = {}
        for i in self.scores:
            node = self._trie
            for character in self._vocab[i]:
                node = node.setdefault(character, {})
            node[END] = i

    @property
    def vocab(self) -> dict[int, str]:
        """Id -> piece, the special tokens included."""
        return self._vocab

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        *,
        unk_token: str = "<unk>",
        normalizer: Normalizer | None = None,
        longest_piece: int = 16,
        template: Sequence[str] | None = None,
    ) -> Self:
        """Learn a vocabulary from texts, cut into words at spaces.

        The special tokens have the first ids, then come the pieces, most probable first.

        Parameters
        ----------
        texts
            Strings.
        vocab_size
            Number of tokens, special ones included. Fewer are made when the texts have fewer
            substrings that occur twice.
        special_tokens
            Strings that are one token; ``unk_token`` is put before them if it is not listed.
        unk_token
            What characters become that the texts do not have.
        normalizer
            Applied to texts here and when encoding, say `UnicodeNormalizer("NFKC")`.
        longest_piece
            Number of characters of the longest piece.
        template
            Tokens around an encoded text, say ``["$A", "</s>"]``.

        Raises
        ------
        ValueError
            If ``vocab_size`` has no room for the special tokens and the characters.
        """
        special = check_special_tokens(special_tokens)
        if unk_token not in special:
            special.insert(0, unk_token)
        counts = count_words(texts, MetaspacePreTokenizer(), special, normalizer)
        alphabet = len(set().union(*counts))
        if vocab_size < len(special) + alphabet:
            raise ValueError(
                f"vocab_size {vocab_size} is less than {len(special) + alphabet}: {len(special)} "
                f"special tokens and {alphabet} characters need an id each; raise vocab_size or "
                "remove rare characters from the texts"
            )
        pieces = train_unigram(counts, vocab_size - len(special), longest_piece=longest_piece)
        scores = dict.fromkeys(special, 0.0) | pieces
        return cls.from_vocab(
            dict(enumerate(scores)),
            list(scores.values()),
            special,
            unk_token=unk_token,
            normalizer=normalizer,
            template=template,
        )

    @classmethod
    def from_vocab(
        cls,
        vocab: Mapping[int, str],
        scores: Sequence[float] | Mapping[int, float],
        special_tokens: Sequence[str] = (),
        *,
        unk_token: str | None = "<unk>",
        normalizer: Normalizer | None = None,
        template: Sequence[str] | None = None,
    ) -> Self:
        """Build a tokenizer from pieces and scores made elsewhere.

        Parameters
        ----------
        vocab
            Id -> piece; a space is written ``▁``.
        scores
            Log-probability of each id, in the order of ``vocab`` or as id -> score.
        special_tokens
            Strings that are never split. One that is in ``vocab`` keeps its id; others get the
            next free ids.
        unk_token, normalizer, template
            As in `train`.

        Raises
        ------
        ValueError
            If two ids stand for the same piece, a piece has no score, or ``unk_token`` is missing.
        """
        vocab = dict(vocab)
        if len(scores) != len(vocab):
            raise ValueError(
                f"{len(vocab)} pieces but {len(scores)} scores; give each piece one score"
            )
        if not isinstance(scores, Mapping):
            scores = dict(zip(vocab, scores, strict=True))
        unscored = [i for i in vocab if i not in scores]
        if unscored:
            raise ValueError(f"id {unscored[0]} has no score; give each piece one score")
        special = add_special_tokens(vocab, special_tokens)
        return cls(
            vocab,
            scores,
            special,
            unk_token=unk_token,
            normalizer=normalizer,
            template=None if template is None else Template(template, special),
        )

    def _encode_words(self, words: Sequence[str]) -> Iterable[Sequence[int]]:
        return map(self._encode_word, words)

    def _encode_word(self, word: str) -> Sequence[int]:
        ids, unknown = [], ""
        for piece, i in self.cut(word):
            if i == self._unknown:
                unknown += piece
                continue
            if unknown:
                ids.append(self._ids.get(unknown, self._unknown))
                unknown = ""
            ids.append(i)
        if unknown:
            ids.append(self._ids.get(unknown, self._unknown))
        return tuple(ids)

    def cut(self, word: str) -> list[tuple[str, int]]:
        """Pieces and ids of the most probable way to cut a word.

        Among equally probable ways the one whose last piece is longest is taken, then the one
        whose last but one is, and so on.
        """
        best = [0.0] + [float("-inf")] * len(word)
        came_from: list[tuple[int, int]] = [(0, 0)] * (len(word) + 1)
        scores = self.scores
        for start in range(len(word)):
            node, here, covered = self._trie, best[start], False
            for end in range(start + 1, len(word) + 1):
                node = node.get(word[end - 1])
                if node is None:
                    break
                i = node.get(END)
                if i is None:
                    continue
                covered = covered or end == start + 1
                if here + scores[i] > best[end]:
                    best[end] = here + scores[i]
                    came_from[end] = (start, i)
            if not covered and here + self._unknown_score > best[start + 1]:
                if self._unknown is None:
                    raise ValueError(
                        f"character {word[start]!r} is in no piece of the vocabulary, which has "
                        "no unk_token; add one or the character"
                    )
                best[start + 1] = here + self._unknown_score
                came_from[start + 1] = (start, self._unknown)
        pieces, end = [], len(word)
        while end > 0:
            start, i = came_from[end]
            pieces.append((word[start:end], i))
            end = start
        return pieces[::-1]

    def _join_tokens(self, ids: list[int]) -> str:
        words = self.pre_tokenizer
        tokens = [self._vocab[i] for i in ids]
        if not isinstance(words, MetaspacePreTokenizer):
            return "".join(tokens)
        if tokens and words.prepend == "always":
            tokens[0] = tokens[0].replace(words.replacement, "")
        return "".join(tokens).replace(words.replacement, " ")

    def _decoder_json(self) -> dict:
        words = self.pre_tokenizer.to_json()
        return words if words["type"] == "Metaspace" else {"type": "Fuse"}

    def _model_json(self) -> dict:
        scored = sorted(self.scores)
        if scored != list(range(len(scored))):
            raise ValueError(
                "the file lists pieces by id, so ids must run from 0 without a gap; "
                f"these have {len(scored)} pieces and the largest id {scored[-1]}"
            )
        return {
            "type": "Unigram",
            "unk_id": self._unknown,
            "vocab": [[self._vocab[i], self.scores[i]] for i in scored],
            "byte_fallback": False,
        }

    @classmethod
    def from_json(cls, data: dict) -> Self:
        """The tokenizer described by the content of a ``tokenizer.json`` file."""
        model = check_model(data, "Unigram")
        require(model, "model Unigram", byte_fallback=(False, None))
        require(data.get("decoder") or {}, "the decoder", type=("Metaspace", "Fuse", None))
        parts = shared_parts(data)
        pieces, scores = {}, {}
        for i, (piece, score) in enumerate(entry(model, "vocab", "model Unigram", list)):
            if piece in pieces:
                raise ValueError(f"tokenizer.json: ids {pieces[piece]} and {i} are both {piece!r}")
            pieces[piece], scores[i] = i, float(score)
        unknown = model.get("unk_id")
        if unknown is not None and unknown not in scores:
            raise ValueError(
                f"tokenizer.json: unk_id {unknown} is not among the {len(pieces)} pieces"
            )
        vocab = whole_vocab(pieces, parts["special_tokens"])
        return cls(vocab, scores, unk_token=None if unknown is None else vocab[unknown], **parts)
