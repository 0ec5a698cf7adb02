"""Byte-level byte-pair encoding: the tokenizer of GPT-2, GPT-4, Llama 3 and most models since.

A word is written as its UTF-8 bytes; the learned merges are then applied to it in the order in
which they were learned. Every string can be encoded, since every byte is a token, and decoding
gives the string back.

===========  ===================================  ================
code name    meaning                              size
===========  ===================================  ================
``vocab``    id -> bytes of the token             V
``merges``   pairs of tokens, first learned first  at most V - 256
===========  ===================================  ================

`llmlib.tokenizers.bpe_training` learns merges, `llmlib.tokenizers.bpe_merging` applies them, each
once by the definition and once fast.

References: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword
Units" (2016); Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).

Differs from ``tiktoken`` in: a pair is joined only if it is in `merges`, as in ``tokenizers``;
``tiktoken`` joins any two tokens whose bytes together are a token. For trained vocabularies the
ids are the same. Differs from ``tokenizers`` in: a byte that the vocabulary lacks is an error; it
is not dropped.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Self

from llmlib.tokenizers.bpe_merging import Merge, MergeTable
from llmlib.tokenizers.bpe_training import fast_merges
from llmlib.tokenizers.normalize import Normalizer
from llmlib.tokenizers.pretokenize import RegexPreTokenizer, bytes_to_text, text_to_bytes
from llmlib.tokenizers.special_tokens import check_special_tokens
from llmlib.tokenizers.template import Template
from llmlib.tokenizers.tokenizer import Tokenizer, WordCache
from llmlib.tokenizers.tokenizer_json import (
    added_tokens,
    check_model,
    entry,
    file_json,
    read_normalizer,
    read_pre_tokenizer,
    read_template,
    require,
)
from llmlib.tokenizers.word_counts import count_words


class BPETokenizer(Tokenizer):
    """Byte-level BPE. Build one with `train`, `from_vocab` or `load`.

    Examples
    --------
    >>> tokenizer = BPETokenizer.train(
    ...     ["low low low lower lowest", "newer newest"], 262, special_tokens=["<|endoftext|>"]
    ... )
    >>> [tokenizer.vocab[i] for i in range(256, 262)]
    [b'ow', b'low', b' low', b'we', b'st', b'<|endoftext|>']
    >>> ids = tokenizer.encode("lowest<|endoftext|>低")
    >>> ids
    [257, 101, 260, 261, 228, 189, 142]
    >>> tokenizer.decode(ids)
    'lowest<|endoftext|>低'
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[Merge],
        special_tokens: Mapping[str, int],
        *,
        pre_tokenizer: RegexPreTokenizer | None = None,
        normalizer: Normalizer | None = None,
        template: Template | None = None,
        ignore_merges: bool = False,
    ):
        super().__init__(
            special_tokens,
            pre_tokenizer=RegexPreTokenizer() if pre_tokenizer is None else pre_tokenizer,
            normalizer=normalizer,
            template=template,
        )
        self._vocab = dict(vocab)
        self.merges = list(merges)
        self.ignore_merges = ignore_merges
        self._table = MergeTable(self._vocab, self.merges)
        self._pieces = WordCache(self._encode_piece)

    @property
    def vocab(self) -> dict[int, bytes]:
        """Id -> bytes of the token, the special tokens included."""
        return self._vocab

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        *,
        pattern: str = "gpt2",
    ) -> Self:
        """Learn a vocabulary from texts.

        Ids 0 to 255 are the bytes, then come the merges in the order in which they were learned,
        then the special tokens.

        Parameters
        ----------
        texts
            Strings; nothing is merged across two of them.
        vocab_size
            Number of tokens, the 256 bytes and the special tokens included. Fewer are made when
            the texts have no more pairs.
        special_tokens
            Strings that are one token. Where they occur in the texts they are cut out.
        pattern
            How texts are cut into words: ``"gpt2"``, ``"gpt4"``, ``"qwen2"``, ``"gpt4o"`` or a
            regular expression.

        Raises
        ------
        ValueError
            If ``vocab_size`` has no room for the bytes and the special tokens.
        """
        special = check_special_tokens(special_tokens)
        least = 256 + len(special)
        if vocab_size < least:
            raise ValueError(
                f"vocab_size {vocab_size} is less than {least}: 256 bytes and {len(special)} "
                "special tokens need an id each; raise vocab_size"
            )
        pre_tokenizer = RegexPreTokenizer(pattern)
        counts = count_words(texts, pre_tokenizer, special)
        merges = fast_merges(counts, vocab_size - len(special))
        tokens = dict.fromkeys(bytes([byte]) for byte in range(256))
        tokens.update(dict.fromkeys(left + right for left, right in merges))
        vocab = dict(enumerate(tokens))
        return cls.from_vocab(vocab, merges, special, pattern=pattern)

    @classmethod
    def from_vocab(
        cls,
        vocab: Mapping[int, bytes],
        merges: Sequence[Merge],
        special_tokens: Sequence[str] = (),
        *,
        pattern: str = "gpt2",
    ) -> Self:
        """Build a tokenizer from a vocabulary and merges made elsewhere.

        Parameters
        ----------
        vocab
            Id -> bytes of the token.
        merges
            Pairs of tokens in the order in which they were learned.
        special_tokens
            Strings that are never split. One that is in ``vocab`` keeps its id; others get the
            next free ids.
        pattern
            How text is cut into words, as in `train`.

        Raises
        ------
        ValueError
            If two ids stand for the same bytes, or a merge uses or makes a token that is not in
            the vocabulary.

        Examples
        --------
        >>> vocab = {i: bytes([i]) for i in range(256)} | {256: b"ab", 257: b"abc"}
        >>> tokenizer = BPETokenizer.from_vocab(vocab, [(b"a", b"b"), (b"ab", b"c")], ["<s>"])
        >>> tokenizer.encode("<s>abcab"), tokenizer.vocab_size
        ([258, 257, 256], 259)
        """
        vocab = dict(vocab)
        ids = {token: i for i, token in vocab.items()}
        special = {}
        for token in check_special_tokens(special_tokens):
            data = token.encode()
            if data not in ids:
                ids[data] = max(vocab, default=-1) + 1
                vocab[ids[data]] = data
            special[token] = ids[data]
        return cls(vocab, merges, special, pre_tokenizer=RegexPreTokenizer(pattern))

    def encode_bytes(self, data: bytes) -> list[int]:
        """Turn any bytes into ids, valid UTF-8 or not.

        Valid parts are treated as text. A run of bytes that are no UTF-8 belongs to a word like
        any other sign that is neither letter, digit nor space.

        Examples
        --------
        >>> vocab = {i: bytes([i]) for i in range(256)}
        >>> tokenizer = BPETokenizer.from_vocab(vocab, [])
        >>> tokenizer.encode_bytes(b"a\\xff")
        [97, 255]
        >>> tokenizer.decode([97, 255])
        'a\ufffd'
        """
        if self.normalizer is not None:
            raise ValueError(
                "encode_bytes needs a tokenizer without normalizer, this one has "
                f"{self.normalizer.to_json()['type']}; decode the bytes and use encode"
            )
        # Bytes that are no UTF-8 become lone surrogates, which no valid text contains.
        text = data.decode("utf-8", "surrogateescape")
        ids: list[int] = []
        for piece in self._special.cut(text):
            if piece.special_id is not None:
                ids.append(piece.special_id)
                continue
            for word in self.pre_tokenizer.split(self.pre_tokenizer.begin(piece.text)):
                try:
                    ids.extend(self._cache[word])
                except UnicodeEncodeError:
                    ids.extend(self._table.merge(word.encode("utf-8", "surrogateescape")))
        return ids

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids: the inverse of `encode_bytes`."""
        try:
            return b"".join([self._vocab[index(i)] for i in ids])
        except KeyError as error:
            raise ValueError(
                f"id {error.args[0]} is not in the vocabulary (ids 0 to {self.vocab_size - 1}); "
                "decode with the tokenizer that made the ids"
            ) from None

    def _join_tokens(self, ids: list[int]) -> str:
        return b"".join([self._vocab[i] for i in ids]).decode("utf-8", "replace")

    def _encode_word(self, word: str) -> Sequence[int]:
        data = word.encode()
        if self.ignore_merges and data in self._table.ids:
            return (self._table.ids[data],)
        return [i for piece in self._table.cut(word) for i in self._pieces[piece]]

    def _encode_piece(self, piece: str) -> list[int]:
        return self._table.merge(piece.encode())

    def to_json(self) -> dict:
        """The tokenizer as the content of a ``tokenizer.json`` file."""
        special = {i: token for token, i in self.special_tokens.items()}
        vocab: dict[str, int] = {}
        for i, token in sorted(self._vocab.items()):
            text = special.get(i) or bytes_to_text(token)
            if text in vocab:
                raise ValueError(
                    f"special token {text!r} cannot be saved: the file writes the token with id "
                    f"{vocab[text] if i in special else i} the same way; use another string"
                )
            vocab[text] = i
        prefix = self.pre_tokenizer.add_prefix_space
        return file_json(
            special_tokens=self.special_tokens,
            normalizer=self.normalizer,
            pre_tokenizer=self.pre_tokenizer,
            template=self.template,
            decoder={
                "type": "ByteLevel",
                "add_prefix_space": prefix,
                "trim_offsets": True,
                "use_regex": True,
            },
            model={
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": self.ignore_merges,
                "vocab": vocab,
                "merges": [[bytes_to_text(a), bytes_to_text(b)] for a, b in self.merges],
            },
        )

    @classmethod
    def from_json(cls, data: dict) -> Self:
        """The tokenizer described by the content of a ``tokenizer.json`` file."""
        model = check_model(data, "BPE")
        require(model, "model BPE", dropout=(None, 0.0), unk_token=(None,))
        require(model, "model BPE", continuing_subword_prefix=(None, ""))
        require(model, "model BPE", end_of_word_suffix=(None, ""), byte_fallback=(False, None))
        pre_tokenizer = read_pre_tokenizer(data.get("pre_tokenizer"))
        if not isinstance(pre_tokenizer, RegexPreTokenizer) or not pre_tokenizer.byte_level:
            raise ValueError(
                f"tokenizer.json: model BPE with pre_tokenizer {data['pre_tokenizer']['type']!r} "
                "is not supported; supported: ByteLevel, or a Sequence of Split and ByteLevel"
            )
        require(data.get("decoder") or {}, "the decoder", type=("ByteLevel", None))
        special = added_tokens(data)
        vocab = {i: token.encode() for token, i in special.items()}
        for token, i in entry(model, "vocab", "model BPE", dict).items():
            if token not in special:
                vocab[i] = text_to_bytes(token)
        merges = [_read_merge(m) for m in entry(model, "merges", "model BPE", list)]
        return cls(
            vocab,
            merges,
            special,
            pre_tokenizer=pre_tokenizer,
            normalizer=read_normalizer(data.get("normalizer")),
            template=read_template(data.get("post_processor"), special),
            ignore_merges=bool(model.get("ignore_merges")),
        )


def _read_merge(merge: list[str] | str) -> Merge:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if len(parts) != 2:
        raise ValueError(f"tokenizer.json: merge {merge!r} must be a pair of tokens")
    return text_to_bytes(parts[0]), text_to_bytes(parts[1])
