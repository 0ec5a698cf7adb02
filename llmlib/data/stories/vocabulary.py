"""The things of the world: every name, animal, object, colour and place, in English and Chinese.

A *kind* is a list of *fillers*. A plot says which kind fills each of its slots, and the generator
draws one filler uniformly. A filler is known by its English word (that is what a record holds) and
has *forms*, the strings that a template may ask for:

============  =====================  =============================================================
language      form                   example
============  =====================  =============================================================
both          ``""``                 ``{animal}``: owl, 猫头鹰
English       ``C``                  ``{spot.C}``: Under the bench, at the start of a sentence
English       ``a A``                ``{animal.a}``: an owl
English       ``she her him``        ``{hero.she}``: the pronoun, also capitalised
              ``herself``
Chinese       ``mw``                 ``{thing.mw}``: the measure word, 把 for a key
Chinese       ``ta``                 ``{hero.ta}``: 她 or 他
============  =====================  =============================================================
"""

from __future__ import annotations

import functools

__all__ = ["KINDS", "LANGUAGES", "fillers", "forms"]

LANGUAGES = ("en", "zh")

#: kind -> "English Chinese measure-word", one filler after a comma or line. Spaces in English
#: are written as underscores.
KINDS = {
    "girl": """Anna 安娜, Bella 贝拉, Clara 克拉拉, Daisy 黛西, Ella 艾拉, Flora 芙萝拉,
        Greta 格蕾塔, Hanna 汉娜, Ivy 艾薇, Julia 朱莉娅, Kate 凯特, Lily 莉莉, Mia 米娅,
        Nora 诺拉, Polly 波莉, Rosa 罗莎, Sara 萨拉, Tess 苔丝, Vera 薇拉, Wendy 温迪""",
    "boy": """Adam 亚当, Ben 班尼, Carl 卡尔, David 大卫, Emil 埃米尔, Felix 菲力, George 乔治,
        Hugo 雨果, Ivan 伊万, Jack 杰克, Leo 里奥, Max 马克斯, Noah 诺亚, Oscar 奥斯卡, Paul 保罗,
        Rob 罗伯, Sam 山姆, Tom 汤姆, Victor 维克多, Walter 沃尔特""",
    "woman": "mother 妈妈, grandmother 奶奶, aunt 姑姑, sister 姐姐",
    "man": "father 爸爸, grandfather 爷爷, uncle 叔叔, brother 哥哥",
    "helper": """baker 面包师 位, teacher 老师 位, farmer 农夫 位, sailor 水手 位, doctor 医生 位,
        gardener 园丁 位, miller 磨坊主 位, painter 画家 位, tailor 裁缝 位, smith 铁匠 位,
        shepherd 牧羊人 位, carpenter 木匠 位""",
    "animal": """fox 狐狸 只, owl 猫头鹰 只, hare 野兔 只, hedgehog 刺猬 只, squirrel 松鼠 只,
        mouse 老鼠 只, frog 青蛙 只, duck 鸭子 只, goose 大雁 只, crow 乌鸦 只, badger 獾 只,
        otter 水獭 只, mole 鼹鼠 只, robin 知更鸟 只, beaver 河狸 只, turtle 乌龟 只""",
    "pet": """cat 猫 只, dog 狗 只, goat 山羊 只, pony 小马 匹, lamb 羊羔 只, hen 母鸡 只,
        donkey 驴 头, parrot 鹦鹉 只, calf 小牛 头, pig 猪 头, rabbit 兔子 只, kitten 小奶猫 只""",
    "small": """key 钥匙 把, ring 戒指 枚, coin 硬币 枚, button 纽扣 颗, whistle 哨子 个,
        ribbon 丝带 条, pencil 铅笔 支, brush 刷子 把, spoon 勺子 把, bell 铃铛 个, glove 手套 只,
        scarf 围巾 条, cap 帽子 顶, marble 弹珠 颗""",
    "toy": """kite 风筝 只, ball 球 个, drum 鼓 面, doll 娃娃 个, train 小火车 列, puppet 木偶 个,
        wagon 小推车 辆, flute 笛子 支, hoop 铁环 个, robot 机器人 个""",
    "tool": """bucket 水桶 个, basket 篮子 个, ladder 梯子 架, rope 绳子 条, blanket 毯子 条,
        broom 扫帚 把, net 网 张, pole 竿子 根, sack 麻袋 个, plank 木板 块""",
    "keepsake": """book 书 本, map 地图 张, letter 信 封, clock 钟 个, picture 画 幅, box 盒子 个,
        bottle 瓶子 个, mirror 镜子 面, vase 花瓶 个, lamp 台灯 盏""",
    "food": """bread 面包, cheese 奶酪, soup 汤, cake 蛋糕, pie 馅饼, honey 蜂蜜, jam 果酱,
        stew 炖菜, pudding 布丁, porridge 麦片粥""",
    "crop": """apples 苹果, pears 梨, plums 李子, cherries 樱桃, grapes 葡萄, nuts 坚果,
        berries 浆果, carrots 胡萝卜, beans 豆子, pumpkins 南瓜""",
    "flower": """rose 玫瑰 朵, tulip 郁金香 朵, poppy 罂粟花 朵, sunflower 向日葵 朵,
        violet 紫罗兰 朵, marigold 金盏花 朵, bluebell 风铃草 朵, orchid 兰花 朵""",
    "colour": """red 红, blue 蓝, green 绿, yellow 黄, white 白, black 黑, brown 棕, grey 灰,
        purple 紫, golden 金""",
    "place": """river 河, forest 森林, hill 小山, market 市场, bridge 桥, mill 磨坊, farm 农场,
        beach 海滩, park 公园, library 图书馆, station 车站, harbour 港口, castle 城堡, meadow 草地,
        lake 湖, tower 高塔, orchard 果园, square 广场, school 学校, well 水井""",
    "spot": """under_the_bench 长椅下面, behind_the_fence 篱笆后面, in_the_tall_grass 高高的草丛里,
        beside_the_gate 大门旁边, inside_a_hollow_log 空心的木头里, under_a_bush 灌木下面,
        behind_a_rock 岩石后面, between_the_roots 树根中间, on_the_wall 墙头上,
        under_the_leaves 落叶下面""",
    "nook": """under_the_bed 床底下, behind_the_door 门后面, on_the_shelf 架子上,
        inside_the_cupboard 柜子里, under_the_table 桌子下面, behind_the_stove 炉子后面,
        on_the_stairs 楼梯上, beside_the_window 窗户旁边, under_the_carpet 地毯下面,
        in_the_attic 阁楼里""",
    "number": "three 三, four 四, five 五, six 六, seven 七, eight 八, nine 九",
}
#: A kind that is the union of others.
UNIONS = {"person": ("girl", "boy"), "kin": ("woman", "man")}
FEMALE = {"she": "she", "her": "her", "him": "her", "herself": "herself"}
MALE = {"she": "he", "her": "his", "him": "him", "herself": "himself"}


@functools.cache
def fillers(kind: str) -> dict[str, dict[str, dict[str, str]]]:
    """Return the fillers of a kind: English word -> language -> form -> string.

    A kind may be a union written with ``+``.

    Raises
    ------
    ValueError
        For a kind that the world does not have.

    Examples
    --------
    >>> fillers("animal")["owl"]["en"]
    {'': 'owl', 'C': 'Owl', 'a': 'an owl', 'A': 'An owl'}
    >>> fillers("person")["Anna"]["zh"]
    {'': '安娜', 'ta': '她'}
    >>> len(fillers("small+toy"))
    24
    """
    if "+" in kind or kind in UNIONS:
        parts = UNIONS.get(kind) or kind.split("+")
        return {word: made for part in parts for word, made in fillers(part).items()}
    if kind not in KINDS:
        raise ValueError(f"no kind {kind!r}; the kinds are {sorted([*KINDS, *UNIONS])}")
    found = {}
    for entry in KINDS[kind].replace("\n", " ").split(","):
        key, chinese, *measure = entry.split()
        word = key.replace("_", " ")
        english = {"": word, "C": word[0].upper() + word[1:]}
        other = {"": chinese}
        if kind in ("girl", "woman", "boy", "man"):
            pronouns = FEMALE if kind in ("girl", "woman") else MALE
            english |= pronouns
            english |= {form.capitalize(): text.capitalize() for form, text in pronouns.items()}
            other["ta"] = "她" if pronouns is FEMALE else "他"
        elif measure:
            english["a"] = f"an {word}" if word[0] in "aeiou" else f"a {word}"
            english["A"] = english["a"].capitalize()
            other["mw"] = measure[0]
        found[word] = {"en": english, "zh": other}
    return found


@functools.cache
def forms(kind: str, form: str, language: str) -> dict[str, tuple[str, ...]]:
    """Return what a form of a kind can look like: string -> the fillers that it may stand for.

    Raises
    ------
    ValueError
        For a form that the kind does not have in the language.

    Examples
    --------
    >>> forms("animal", "a", "en")["an owl"]
    ('owl',)
    >>> [len(who) for who in forms("person", "she", "en").values()]
    [20, 20]
    """
    found: dict[str, tuple[str, ...]] = {}
    for word, made in fillers(kind).items():
        if form not in made[language]:
            raise ValueError(f"kind {kind!r} has no form {form!r} in {language!r}: see {word!r}")
        text = made[language][form]
        found[text] = (*found.get(text, ()), word)
    return found
