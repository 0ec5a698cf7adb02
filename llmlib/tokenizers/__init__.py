"""Floor 1: text to ids and back.

=============================================  =================================================
file                                           what is in it
=============================================  =================================================
:mod:`llmlib.tokenizers.tokenizer`             what all tokenizers share: encode, stream, decode
:mod:`llmlib.tokenizers.bpe`                   byte-level byte-pair encoding
:mod:`llmlib.tokenizers.bpe_training`          learning merges, plainly and fast
:mod:`llmlib.tokenizers.bpe_merging`           applying merges, plainly and fast
:mod:`llmlib.tokenizers.wordpiece`             WordPiece: the longest token first
:mod:`llmlib.tokenizers.wordpiece_training`    learning WordPiece by likelihood
:mod:`llmlib.tokenizers.unigram`               Unigram: the most probable way to cut
:mod:`llmlib.tokenizers.unigram_training`      learning Unigram: expectation-maximization, pruning
:mod:`llmlib.tokenizers.pretokenize`           text to words: GPT-2, GPT-4, BERT, SentencePiece
:mod:`llmlib.tokenizers.normalize`             Unicode forms, BERT's normalization
:mod:`llmlib.tokenizers.byte_alphabet`         bytes written as visible characters
:mod:`llmlib.tokenizers.special_tokens`        strings that are never split; cutting a stream
:mod:`llmlib.tokenizers.template`              special tokens around a text
:mod:`llmlib.tokenizers.chat`                  conversations as text, and what is learned of them
:mod:`llmlib.tokenizers.tokenizer_json`        the file format
:mod:`llmlib.tokenizers.pair_index`            counts of pairs, kept up to date
:mod:`llmlib.tokenizers.lattice`               sums over all ways to cut words
:mod:`llmlib.tokenizers.word_counts`           the words of a text, counted
:mod:`llmlib.tokenizers.loading`               a tokenizer of whatever class from a file
=============================================  =================================================
"""

from llmlib.tokenizers.bpe import BPETokenizer
from llmlib.tokenizers.chat import ChatTemplate
from llmlib.tokenizers.loading import load_tokenizer
from llmlib.tokenizers.tokenizer import Tokenizer
from llmlib.tokenizers.unigram import UnigramTokenizer
from llmlib.tokenizers.wordpiece import WordPieceTokenizer

__all__ = [
    "BPETokenizer",
    "ChatTemplate",
    "Tokenizer",
    "UnigramTokenizer",
    "WordPieceTokenizer",
    "load_tokenizer",
]
