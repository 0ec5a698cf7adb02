"""Count the words of a text: all that training a vocabulary looks at."""

from collections import Counter
from collections.abc import Iterable, Sequence

from llmlib.tokenizers.normalize import Normalizer
from llmlib.tokenizers.pretokenize import PreTokenizer
from llmlib.tokenizers.special_tokens import SpecialTokens


def count_words(
    texts: Iterable[str],
    pre_tokenizer: PreTokenizer,
    special_tokens: Sequence[str] = (),
    normalizer: Normalizer | None = None,
) -> Counter[str]:
    """How often each word occurs in texts, as encoding will see them; special tokens left out.

    Examples
    --------
    >>> from llmlib.tokenizers.pretokenize import RegexPreTokenizer
    >>> count_words(["a b<s> b"], RegexPreTokenizer("gpt2"), ["<s>"])
    Counter({' b': 2, 'a': 1})
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string; pass a list of strings: [text]")
    # A long text is taken in parts, so that its words are never all in memory.
    cutter = SpecialTokens({token: i for i, token in enumerate(special_tokens)}, chunk=1 << 20)
    boundary = pre_tokenizer.safe_boundary(normalizer)
    counts: Counter[str] = Counter()
    for text in texts:
        begins = True
        for piece in cutter.cut_stream([text], boundary):
            if piece.special_id is not None:
                continue
            begins = begins or piece.begins
            part = piece.text if normalizer is None else normalizer.normalize(piece.text)
            if part:
                counts.update(pre_tokenizer.split(pre_tokenizer.begin(part) if begins else part))
                begins = False
    return counts
