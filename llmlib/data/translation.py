r"""English and Chinese sentences from a synchronous grammar.

A synchronous grammar rewrites a symbol in two languages at once:

.. code-block:: text

   SENTENCE -> { {OWNER} put {THING} in {PLACE} , {OWNER}把{THING}放在了{PLACE}里 }

The two sides hold the same symbols in whatever order each language wants. So every sentence comes
with its translation, and with the alignment of its words: two words belong together when one
symbol wrote both. The rules were chosen for what makes translation between the two languages
interesting:

* order: place and time stand at the end in English, before the verb in Chinese; "the hat of the
  fox" turns round into 狐狸的帽子;
* words without a partner: articles, 了, and measure words (一把钥匙, 一顶帽子), which depend on the
  noun that follows;
* one word, several forms: found/find on the English side, none on the Chinese one.

References
----------
1. Lewis and Stearns, *Syntax-Directed Transduction*, Journal of the ACM 15(3), 1968.
2. Chiang, *Hierarchical Phrase-Based Translation*, Computational Linguistics 33(2), 2007.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

__all__ = ["SentencePair", "parallel_corpus", "recorded_sizes", "split_corpus"]


@dataclass(frozen=True, kw_only=True)
class SentencePair:
    """A sentence in two languages.

    Attributes
    ----------
    english : tuple of str
        Lower-case words and punctuation.
    chinese : tuple of str
        Characters.
    alignment : tuple of (int, int)
        Pairs ``(i, j)``: ``english[i]`` and ``chinese[j]`` mean the same.
    """

    english: tuple[str, ...]
    chinese: tuple[str, ...]
    alignment: tuple[tuple[int, int], ...]


# Words that keep one form: symbol -> (English, Chinese). Things are grouped by measure word.
_WORDS: Mapping[str, Sequence[tuple[str, str]]] = {
    "ANIMAL": (
        ("fox", "狐狸"), ("rabbit", "兔子"), ("bear", "熊"), ("cat", "猫"), ("dog", "狗"),
        ("bird", "鸟"), ("mouse", "老鼠"), ("monkey", "猴子"), ("turtle", "乌龟"), ("frog", "青蛙"),
    ),
    "PERSON": (
        ("girl", "女孩"), ("boy", "男孩"), ("teacher", "老师"), ("doctor", "医生"),
        ("farmer", "农民"), ("king", "国王"),
    ),
    "THING_BA": (("key", "钥匙"), ("chair", "椅子"), ("fan", "扇子"), ("knife", "刀")),
    "THING_BEN": (("book", "书"), ("dictionary", "词典")),
    "THING_DING": (("hat", "帽子"), ("tent", "帐篷")),
    "THING_FENG": (("letter", "信"),),
    "THING_GE": (("melon", "西瓜"), ("box", "盒子"), ("cup", "杯子"), ("ball", "球")),
    "THING_TIAO": (("scarf", "围巾"), ("fish", "鱼"), ("rope", "绳子")),
    "COLOUR": (
        ("red", "红色"), ("green", "绿色"), ("blue", "蓝色"), ("white", "白色"),
        ("black", "黑色"), ("yellow", "黄色"),
    ),
    "SIZE": (("big", "大"), ("small", "小"), ("broken", "破"), ("new", "新")),
    "PLACE": (
        ("forest", "森林"), ("school", "学校"), ("garden", "花园"), ("house", "房子"),
        ("shop", "商店"), ("library", "图书馆"), ("kitchen", "厨房"), ("village", "村子"),
    ),
    "TIME": (
        ("yesterday", "昨天"), ("today", "今天"), ("last night", "昨晚"),
        ("this morning", "今天早上"), ("last year", "去年"),
    ),
    "NUMBER": (("two", "两"), ("three", "三"), ("four", "四"), ("five", "五"), ("ten", "十")),
    "COMPARISON": (
        ("bigger", "大"), ("smaller", "小"), ("faster", "快"), ("taller", "高"),
        ("younger", "年轻"),
    ),
}  # fmt: skip
# English past, English base form, Chinese.
_VERBS: Sequence[tuple[str, str, str]] = (
    ("found", "find", "找到"), ("lost", "lose", "丢"), ("bought", "buy", "买"),
    ("sold", "sell", "卖"), ("saw", "see", "看见"), ("hid", "hide", "藏"),
    ("took", "take", "拿"), ("broke", "break", "弄坏"), ("drew", "draw", "画"),
    ("washed", "wash", "洗"),
)  # fmt: skip
_MEASURES = {
    "THING_BA": "把", "THING_BEN": "本", "THING_DING": "顶",
    "THING_FENG": "封", "THING_GE": "个", "THING_TIAO": "条",
}  # fmt: skip

# Rules of two sides. A symbol stands in braces, with a digit where one symbol occurs twice and
# with the English form of a verb behind a colon.
_RULES: Mapping[str, Sequence[tuple[str, str]]] = {
    "SENTENCE": (
        ("{WHO} {VERB:past} {WHAT} .", "{WHO}{VERB}了{WHAT}。"),
        ("{WHO} {VERB:past} {WHAT} {TIME} .", "{WHO}{TIME}{VERB}了{WHAT}。"),
        ("{WHO} {VERB:past} {WHAT} in the {PLACE} .", "{WHO}在{PLACE}里{VERB}了{WHAT}。"),
        (
            "{WHO} {VERB:past} {WHAT} in the {PLACE} {TIME} .",
            "{WHO}{TIME}在{PLACE}里{VERB}了{WHAT}。",
        ),
        ("{WHO} did not {VERB:base} {WHAT} .", "{WHO}没有{VERB}{WHAT}。"),
        ("{WHO} did not {VERB:base} {WHAT} {TIME} .", "{WHO}{TIME}没有{VERB}{WHAT}。"),
        ("did {WHO} {VERB:base} {WHAT} ?", "{WHO}{VERB}{WHAT}了吗？"),
        ("who {VERB:past} {WHAT} ?", "谁{VERB}了{WHAT}？"),
        ("where did {WHO} {VERB:base} {WHAT} ?", "{WHO}在哪里{VERB}了{WHAT}？"),
        ("{WHO} put {WHAT} in the {PLACE} .", "{WHO}把{WHAT}放在了{PLACE}里。"),
        ("{WHO} gave {WHAT} to {WHO2} .", "{WHO}把{WHAT}给了{WHO2}。"),
        ("{WHO} is {COMPARISON} than {WHO2} .", "{WHO}比{WHO2}{COMPARISON}。"),
        ("there is {ONE} in the {PLACE} .", "{PLACE}里有{ONE}。"),
        ("there are {SEVERAL} in the {PLACE} .", "{PLACE}里有{SEVERAL}。"),
        ("the {THING} of {WHO} is {COLOUR} .", "{WHO}的{THING}是{COLOUR}的。"),
    ),
    "WHO": (("the {ANIMAL}", "{ANIMAL}"), ("the {PERSON}", "{PERSON}")),
    "WHAT": (
        ("the {THING}", "{THING}"),
        ("the {COLOUR} {THING}", "{COLOUR}的{THING}"),
        ("the {THING} of {WHO}", "{WHO}的{THING}"),
        ("{ONE}", "{ONE}"),
        ("{SEVERAL}", "{SEVERAL}"),
    ),
    "THING": tuple((f"{{{symbol}}}", f"{{{symbol}}}") for symbol in _MEASURES),
    "ONE": tuple(
        rule
        for symbol, measure in _MEASURES.items()
        for rule in (
            (f"a {{{symbol}}}", f"一{measure}{{{symbol}}}"),
            (f"a {{COLOUR}} {{{symbol}}}", f"一{measure}{{COLOUR}}的{{{symbol}}}"),
            (f"a {{SIZE}} {{{symbol}}}", f"一{measure}{{SIZE}}{{{symbol}}}"),
        )
    ),
    "SEVERAL": tuple(
        (f"{{NUMBER}} {{{symbol}:plural}}", f"{{NUMBER}}{measure}{{{symbol}}}")
        for symbol, measure in _MEASURES.items()
    ),
}
_PLURALS = {
    "knife": "knives", "dictionary": "dictionaries", "box": "boxes", "scarf": "scarves",
    "fish": "fish",
}  # fmt: skip
_SYMBOL = re.compile(r"\{([A-Z_]+)(\d?)(?::([a-z]+))?\}")


def parallel_corpus(size: int, seed: int = 0) -> list[SentencePair]:
    """Distinct sentences with their translations and alignments.

    Parameters
    ----------
    size : int
        How many sentences; at least 1. The grammar has millions.
    seed : int
        The same seed gives the same corpus, and a longer corpus begins with the shorter one.

    Returns
    -------
    list of SentencePair
        No English sentence occurs twice.

    Raises
    ------
    ValueError
        ``size`` is below 1 or above 500,000.

    Examples
    --------
    >>> pair = parallel_corpus(3, seed=1)[1]
    >>> " ".join(pair.english), "".join(pair.chinese)
    ('the girl took a knife last night .', '女孩昨晚拿了一把刀。')
    """
    if not 1 <= size <= 500_000:
        raise ValueError(f"size={size}, but a corpus has 1 to 500,000 sentences: choose in between")
    generator = random.Random(seed)
    pairs: dict[tuple[str, ...], SentencePair] = {}
    while len(pairs) < size:
        pair = _sentence(generator)
        pairs.setdefault(pair.english, pair)  # a sentence drawn again is dropped
    return list(pairs.values())


def split_corpus(
    pairs: Sequence[SentencePair], held_out: float = 0.1
) -> tuple[list[SentencePair], list[SentencePair]]:
    """Split a corpus into training and held-out sentences; its order is already random.

    Examples
    --------
    >>> train, test = split_corpus(parallel_corpus(50), held_out=0.2)
    >>> len(train), len(test)
    (40, 10)
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out={held_out}, but it is a share: choose between 0 and 1")
    cut = len(pairs) - round(len(pairs) * held_out)
    return list(pairs[:cut]), list(pairs[cut:])


def recorded_sizes() -> dict[str, Any]:
    """What Transformers of several sizes have learned of this task: a recorded experiment.

    ``python -m benchmarks.translation`` trains the models and writes the record. All that it says
    is on the held-out sentences of ``split_corpus(parallel_corpus(4_000))``.

    Returns
    -------
    dict
        ``"training"``: what all models have in common. ``"base"``: the sizes that stay where one
        of them is varied. ``"rows"``: one for each model, factor of the learning rate and number
        of steps, with its sizes ``dim``, ``num_layers`` and ``num_heads``, its ``parameters``, and
        lists with a number for every seed: ``loss`` (nats per token) and ``bleu``.

    Examples
    --------
    >>> record = recorded_sizes()
    >>> record["base"]
    {'dim': 32, 'num_layers': 2, 'num_heads': 4}
    >>> sorted({row["num_layers"] for row in record["rows"]})
    [1, 2, 3, 4]
    """
    file = resources.files("llmlib.data") / "translation_sizes.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _sentence(generator: random.Random) -> SentencePair:
    # Each side is a list of (word, tag); equal tags say that one symbol wrote both words.
    english, chinese = _expand("SENTENCE", None, generator, tag=())
    alignment = tuple(
        (i, j)
        for j, (_, right) in enumerate(chinese)
        for i, (_, left) in enumerate(english)
        if left is not None and left == right
    )
    return SentencePair(
        english=tuple(word for word, _ in english),
        chinese=tuple(character for character, _ in chinese),
        alignment=alignment,
    )


_Side = list[tuple[str, tuple[str, ...] | None]]


def _expand(
    symbol: str, form: str | None, generator: random.Random, tag: tuple[str, ...]
) -> tuple[_Side, _Side]:
    """Rewrite a symbol until only words are left, on both sides."""
    if symbol == "VERB":
        past, base, translation = generator.choice(_VERBS)
        return _words(past if form == "past" else base, translation, tag)
    if symbol in _WORDS:
        word, translation = generator.choice(_WORDS[symbol])
        if form == "plural":
            word = _PLURALS.get(word, f"{word}s")
        return _words(word, translation, tag)
    left, right = generator.choice(_RULES[symbol])
    parts = {}
    for name, digit, child_form in _SYMBOL.findall(left):
        key = name + digit
        parts[key] = _expand(name, child_form or None, generator, (*tag, key))
    return _fill(left, parts, 0), _fill(right, parts, 1)


def _words(english: str, chinese: str, tag: tuple[str, ...]) -> tuple[_Side, _Side]:
    return [(word, tag) for word in english.split()], [(character, tag) for character in chinese]


def _fill(template: str, parts: Mapping[str, tuple[_Side, _Side]], side: int) -> _Side:
    """Put the parts into a rule's side; the rule's own words belong to no partner."""
    filled: _Side = []
    end = 0
    for match in _SYMBOL.finditer(template):
        filled += _own(template[end : match.start()], side)
        filled += parts[match[1] + match[2]][side]
        end = match.end()
    return filled + _own(template[end:], side)


def _own(text: str, side: int) -> _Side:
    return [(token, None) for token in (text.split() if side == 0 else text)]
