"""Open a ``tokenizer.json`` file without knowing which kind of tokenizer is in it."""

from pathlib import Path

from llmlib.tokenizers.bpe import BPETokenizer
from llmlib.tokenizers.tokenizer import Tokenizer
from llmlib.tokenizers.tokenizer_json import malformed_refused, model_type, read_json
from llmlib.tokenizers.unigram import UnigramTokenizer
from llmlib.tokenizers.wordpiece import WordPieceTokenizer

CLASSES: dict[str, type[Tokenizer]] = {
    "BPE": BPETokenizer,
    "WordPiece": WordPieceTokenizer,
    "Unigram": UnigramTokenizer,
}
"""Model type in the file -> class."""


def load_tokenizer(path: str | Path, *, ignore_lengths: bool = False) -> Tokenizer:
    """Read a ``tokenizer.json`` file; its model decides the class.

    Parameters
    ----------
    path
        The file.
    ignore_lengths
        Accept a file that asks for truncation and padding, and do neither: the caller does. Else
        such a file is refused, since ids would differ.

    Raises
    ------
    ValueError
        If the file is malformed or asks for something that is not supported.
    """
    data = read_json(path)
    if ignore_lengths:
        data |= {"truncation": None, "padding": None}
    return from_json(data)


def from_json(data: dict) -> Tokenizer:
    """The tokenizer described by the content of a ``tokenizer.json`` file."""
    with malformed_refused():
        kind = model_type(data["model"])
        if kind not in CLASSES:
            raise ValueError(
                f"tokenizer.json: model {kind!r} is not supported; supported: {', '.join(CLASSES)}"
            )
        return CLASSES[kind].from_json(data)
