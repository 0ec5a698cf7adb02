"""Texts that tokenizers are tried on: each holds something that has broken one before."""

import unicodedata
from pydoc_data.topics import topics

from hypothesis import settings
from hypothesis import strategies as st

# Time per example says nothing on a busy machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

ENGLISH = (
    "The lighthouse keeper couldn't sleep; she'd counted 1,204 ships since May 3rd, and "
    "they'll keep coming.  \n\n\tIt's 03:15 - \"too late,\" he'D said, 'TWAS all.   \n"
)
CHINESE = (
    "灯塔看守人睡不着。从五月三日起,她已经数了一千二百零四艘船,而且它们还会继续来。"
    "现在是凌晨三点十五分:“太晚了,”他说。机器学习模型把文字变成数字,再把数字变成文字。"
)
TEXTS = {
    "empty": "",
    "one space": " ",
    "english": ENGLISH,
    "chinese": CHINESE,
    "mixed": "GPT-4o在2024年发布,costs $20/月,对吧?ok 好的。",
    "emoji": "👩‍👩‍👧‍👦 family 🏳️‍🌈 flags 🇨🇳🇫🇷, thumbs 👍🏽👍🏿!!! ☺️ 🤷🏽‍♀️",
    "combining": "e\u0301 cafe\u0301 Zalgo Z̶̛͍a̷̢l̵g̸o, Å vs A\u030a, हिन्दी नमस्ते, ภาษาไทย, \u0301",
    "control": "a\x00b\x01\x1b[31mred\x1b[0m\x7f\x85\u2028\u2029\ufeff\u200b\u200d\xadend\x1c\x1f",
    "spaces": " a  b   c\u00a0d\u3000e\u2003f\t\tg\r\nh\n\n\ni \r\n \n  j    ",
    "digits": "0 12 123 1234 12345 3.14159 ٣٤٥ ½ Ⅷ ① 一二三",
    "contractions": "I'm you're he's it'd we'll they've don't I'M YOU'RE 'ſ o'clock ''s 'r 'v",
    "code": "def f(x):\n    return {'a': x[0] ** 2}  # ok?\n\n\n\tif x != y && z: {}//**\n",
    "scripts": "Привет мир! שלום עולם مرحبا بالعالم 안녕하세요 こんにちは世界 ⲁⲃⲅ 𐍈𐌰 𝔘𝔫𝔦 Ǆǅǆ İı ΟΣ",
    "beyond": "\U0001f600\U0010ffff\U000e0001\ue000\ufffd\ufffe",
    "repeats": "a" * 1000
    + " " * 300
    + "ab" * 500
    + "\n" * 50
    + "!?" * 200
    + "好" * 200
    + "1" * 100,
    "looks special": "<|endoftext|> <|endoftext <|end|> [MASK] [CLS] <s></s> ##ing ▁▁x ▁",
}

TRAINING_TEXTS = [
    *(topics[name] for name in sorted(topics)[:40]),
    ENGLISH * 3,
    CHINESE * 3,
    *TEXTS.values(),
]


def _assigned_by_unicode_3() -> str:
    """Characters whose category all libraries agree on, however old their tables."""
    old = unicodedata.ucd_3_2_0
    return "".join(
        c
        for c in map(chr, range(0x30000))
        if old.category(c) not in ("Cn", "Cs", "Co") and old.category(c) == unicodedata.category(c)
    )


SETTLED = _assigned_by_unicode_3()

settled_text = st.text(
    st.one_of(
        st.sampled_from(SETTLED),
        st.sampled_from(" \n\t\r'sS,.ab1é好👍\u0301\u00a0"),
    ),
    max_size=60,
)
"""Text on which a difference is not one of Unicode versions."""

any_text = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.text("aé1㐀好。、, '\n.\u0301\u037a\u00b4\ufb01\x85\u3000\u200b\uff0c", max_size=30),
        st.sampled_from([*TEXTS.values()]),
        st.sampled_from(["<|endoftext|>", "<|end|>", " ", "\n", "the", "'s", "好的", "\u0301"]),
    ),
    max_size=6,
).map("".join)
"""Any Unicode string, with more of what is difficult."""
