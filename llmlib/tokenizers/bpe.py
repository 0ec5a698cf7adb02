"""Byte-level byte-pair encoding: the tokenizer of GPT-2, GPT-4, Llama 3 and most models since.

A word is written as its UTF-8 bytes; the learned merges are then applied to it in the order in
which they were learned. Every string can be encoded, since every byte is a token, and decoding
gives the string back.

===========  ====================================  ================
code name    meaning                               size
===========  ====================================  ================
``vocab``    id -> bytes of the token              V
``merges``   pairs of tokens, first learned first  at most V - 256
===========  ====================================  ================

`llmlib.tokenizers.bpe_training` learns merges, `llmlib.tokenizers.bpe_merging` applies them, each
once by the definition and once fast.

References: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword
Units" (2016); Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).

Differs from ``tiktoken`` in: a pair is joined only if it is in `merges`, as in ``tokenizers``;
``tiktoken`` joins any two tokens whose bytes together are a token. For trained vocabularies the
ids are the same. Differs from ``tokenizers`` in: a byte that the vocabulary lacks, where there is
no unknown token, is an error; it is not dropped.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import index
from typing import Self

from llmlib.tokenizers.bpe_merging import Merge, MergeTable
from llmlib.tokenizers.bpe_training import fast_merges
from llmlib.tokenizers.byte_alphabet import bytes_to_text, text_to_bytes
from llmlib.tokenizers.normalize import Normalizer
from llmlib.tokenizers.pretokenize import RegexPreTokenizer
from llmlib.tokenizers.special_tokens import check_special_tokens
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
        visible_tokens: Collection[str] = (),
        unk_token: str | None = None,
        ignore_merges: bool = False,
    ):
        super().__init__(
            special_tokens,
            pre_tokenizer=RegexPreTokenizer() if pre_tokenizer is None else pre_tokenizer,
            normalizer=normalizer,
            template=template,
            visible_tokens=visible_tokens,
        )
        self._vocab = dict(vocab)
        self.merges = list(merges)
        self.unk_token = unk_token
        self.ignore_merges = ignore_merges
        unknown = None if unk_token is None else unk_token.encode()
        self._table = MergeTable(self._vocab, self.merges, unknown)

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

        Bytes that are no text cannot be cut into words. From the first such byte on, everything
        belongs to the word before it: right for a text that was cut inside a character, and what
        ``tiktoken`` does.

        Examples
        --------
        >>> vocab = {i: bytes([i]) for i in range(256)} | {256: "的".encode()[:2], 257: b"a\\xe7"}
        >>> tokenizer = BPETokenizer.from_vocab(vocab, [(b"\\xe7", b"\\x9a"), (b"a", b"\\xe7")])
        >>> tokenizer.encode_bytes("a的".encode()[:-1]), tokenizer.decode([97, 256])
        ([97, 256], 'a\ufffd')
        """
        try:
            return self.encode(data.decode(), add_special_tokens=False)
        except UnicodeDecodeError as error:
            text, rest = data[: error.start].decode(), data[error.start :]
        ids: list[int] = []
        last = 0  # number of ids that belong to the last word
        for piece in self._special.cut(text):
            if piece.special_id is not None:
                ids.append(piece.special_id)
                last = 0
                continue
            words = self._words(piece.text, begins=True) or ()
            for word_ids in self._encode_words(words):
                ids.extend(word_ids)
                last = len(word_ids)
        # White space before white space might have been one word with what follows.
        while 0 < last < len(ids) and self._is_space(ids[-last]) and self._is_space(ids[-last - 1]):
            last += 1
        tail = b"".join([self._vocab[i] for i in ids[len(ids) - last :]]) + rest
        return ids[: len(ids) - last] + self._table.merge(tail)

    def _is_space(self, i: int) -> bool:
        return not self._vocab[i].strip(b" \n\t")

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

    def _encode_words(self, words: Sequence[str]) -> list[list[int]]:
        encoded = [word.encode() for word in words]
        merged = self._table.merge_many(encoded)
        if self.ignore_merges:
            ids = self._table.ids
            merged = [
                [ids[word]] if word in ids else parts
                for word, parts in zip(encoded, merged, strict=True)
            ]
        return merged

    def _decoder_json(self) -> dict:
        return {
            "type": "ByteLevel",
            "add_prefix_space": self.pre_tokenizer.add_prefix_space,
            "trim_offsets": True,
            "use_regex": True,
        }

    def _model_json(self) -> dict:
        special = {i: token for token, i in self.special_tokens.items()}
        vocab: dict[str, int] = {}
        for i, token in sorted(self._vocab.items()):
            text = special.get(i) or bytes_to_text(token)
            if text in vocab:
                token = text if i in special else special[vocab[text]]
                raise ValueError(
                    f"special token {token!r} cannot be saved: the file would write the ids "
                    f"{vocab[text]} and {i} the same way; use another string"
                )
            vocab[text] = i
        return {
            "type": "BPE",
            "dropout": None,
            "unk_token": self.unk_token,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": self.ignore_merges,
            "vocab": vocab,
            "merges": [[bytes_to_text(a), bytes_to_text(b)] for a, b in self.merges],
        }

    @classmethod
    def from_json(cls, data: dict) -> Self:
        """The tokenizer described by the content of a ``tokenizer.json`` file."""
        model = check_model(data, "BPE")
        require(model, "model BPE", dropout=(None, 0.0), byte_fallback=(False, None))
        require(model, "model BPE", continuing_subword_prefix=(None, ""))
        require(model, "model BPE", end_of_word_suffix=(None, ""))
        if model.get("unk_token") is not None:
            require(model, "model BPE with unk_token", fuse_unk=(False, None))
        require(data.get("decoder") or {}, "the decoder", type=("ByteLevel", None))
        parts = shared_parts(data)
        words = parts["pre_tokenizer"]
        if not (isinstance(words, RegexPreTokenizer) and words.byte_level):
            raise ValueError(
                f"tokenizer.json: model BPE with pre_tokenizer {data['pre_tokenizer']['type']!r} "
                "is not supported; supported: ByteLevel, or a Sequence of Split and ByteLevel"
            )
        special = parts["special_tokens"]
        unknown = model.get("unk_token")
        texts = whole_vocab(entry(model, "vocab", "model BPE", dict), special)
        vocab = {
            i: text.encode() if text in special or text == unknown else text_to_bytes(text)
            for i, text in texts.items()
        }
        return cls(
            vocab,
            [_read_merge(merge) for merge in entry(model, "merges", "model BPE", list)],
            unk_token=unknown,
            ignore_merges=bool(model.get("ignore_merges")),
            **parts,
        )


def _read_merge(merge: list[str] | str) -> Merge:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if len(parts) != 2:
        raise ValueError(f"tokenizer.json: merge {merge!r} must be a pair of tokens")
    return text_to_bytes(parts[0]), text_to_bytes(parts[1])
