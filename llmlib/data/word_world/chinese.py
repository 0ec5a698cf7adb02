"""A seeded grammar that writes plain Chinese sentences, cut into words.

Chinese words show their kin in their characters: 火车, 汽车 and 马车 all end in 车 (vehicle), 老师
and 厨师 in 师 (master of a trade). The text uses most such words and keeps some back, so that a
model that reads characters can be asked about words it has never seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .gold import WordWorld, analogy_questions, graded_pairs

__all__ = ["chinese_word_world"]

# broad group -> fine group -> (words of the slot, {word: words of its own}, words kept back)
THINGS = {
    "东西": {
        "车": (
            "司机 马路 红绿灯 乘客",
            {
                "火车": "铁轨 隧道",
                "汽车": "汽油 方向盘",
                "马车": "缰绳 马鞍",
                "卡车": "货物 工地",
                "公交车": "站牌 零钱",
            },
            "电车 救护车",
        ),
        "电": (
            "插座 开关 修理 客厅",
            {
                "电脑": "键盘 文件",
                "电视": "节目 频道",
                "电话": "号码 铃声",
                "电灯": "灯泡 台阶",
                "电扇": "夏夜 凉风",
            },
            "电炉 电筒",
        ),
        "鱼": (
            "池塘 渔夫 水草 钓竿",
            {"金鱼": "玻璃缸 气泡", "鲤鱼": "龙门 鳞片", "鲨鱼": "牙齿 大海", "鲫鱼": "豆腐 热汤"},
            "草鱼 墨鱼",
        ),
        "花": (
            "瓶子 春天 蜜蜂 香味",
            {"菊花": "重阳 茶杯", "梅花": "雪地 寒风", "荷花": "荷叶 小船", "桃花": "山村 三月"},
            "兰花 杏花",
        ),
        "果": (
            "篮子 果农 甜味 收成",
            {"苹果": "红皮 脆甜", "芒果": "热带 黄色", "水果": "市场 价钱", "坚果": "硬壳 松鼠"},
            "无花果 百香果",
        ),
    },
    "人": {
        "师": (
            "经验 工资 学徒 手艺",
            {
                "老师": "课本 黑板",
                "厨师": "菜刀 火候",
                "律师": "法庭 合同",
                "医师": "病人 药方",
                "理发师": "剪刀 镜子",
            },
            "画师 工程师",
        ),
        "员": (
            "制服 同事 上班 经理",
            {
                "店员": "柜台 顾客",
                "演员": "舞台 台词",
                "队员": "比赛 教练",
                "飞行员": "机场 云层",
                "邮递员": "信件 邮包",
            },
            "海员 服务员",
        ),
    },
    "地方": {
        "店": (
            "街道 老板 开门 招牌",
            {"书店": "小说 书架", "饭店": "菜单 客人", "花店": "玫瑰 包装", "鞋店": "皮鞋 尺码"},
            "药店 茶店",
        ),
        "园": (
            "围墙 长椅 散步 门票",
            {"公园": "湖水 风筝", "花园": "篱笆 草地", "校园": "操场 学生", "动物园": "猴子 大象"},
            "菜园 植物园",
        ),
    },
}
# (he, she): words of the role
PEOPLE = {
    ("男人", "女人"): "名字 生意",
    ("男孩", "女孩"): "玩具 糖果",
    ("国王", "女王"): "王冠 宝座",
    ("王子", "公主"): "城堡 舞会",
    ("爸爸", "妈妈"): "孩子 早饭",
    ("爷爷", "奶奶"): "孙子 拐杖",
    ("哥哥", "姐姐"): "书包 作业",
    ("叔叔", "阿姨"): "礼物 邻居",
}
# country capital food sight
COUNTRIES = """
中国 北京 饺子 长城
法国 巴黎 面包 铁塔
日本 东京 寿司 樱花
英国 伦敦 红茶 大钟
德国 柏林 香肠 城门
俄国 莫斯科 甜菜 雪橇
泰国 曼谷 咖喱 佛寺
韩国 首尔 泡菜 宫殿
埃及 开罗 豆饼 金字塔
希腊 雅典 橄榄 神庙
"""
PRONOUNS = {"他": ("他", "先生"), "她": ("她", "女士")}
COUNTRY_TABLE = [row.split() for row in COUNTRIES.split("\n") if row]


def chinese_word_world(sentences: int = 20_000, *, seed: int = 0) -> WordWorld:
    """Write ``sentences`` Chinese sentences, cut into words, with their gold set.

    Parameters
    ----------
    sentences : int
        How many; 20,000 are about 200,000 words.
    seed : int
        The same seed writes the same text.

    Examples
    --------
    >>> world = chinese_word_world(3)
    >>> world.groups["火车"], world.unseen["电车"]
    ('东西/车', '东西/车')
    """
    if sentences < 1:
        raise ValueError(f"sentences is {sentences}; ask for at least 1")
    generator = random.Random(seed)
    topics: list[Callable[[random.Random], str]] = [*[_thing] * 4, *[_person] * 2, *[_country] * 2]
    groups, unseen = _groups()
    relations = {
        "他 : 她": list(PEOPLE),
        "国家 : 首都": [(row[0], row[1]) for row in COUNTRY_TABLE],
    }
    return WordWorld(
        sentences=[generator.choice(topics)(generator).split() for _ in range(sentences)],
        groups=groups,
        similar_pairs=graded_pairs(groups),
        analogies={name: analogy_questions(pairs) for name, pairs in relations.items()},
        unseen=unseen,
    )


def _thing(r: random.Random) -> str:
    broad = r.choice(list(THINGS))
    slot_words, members, _ = r.choice(list(THINGS[broad].values()))
    word, own_words = r.choice(list(members.items()))
    slot, other = r.sample(slot_words.split(), 2)
    own = r.choice(own_words.split())
    if broad == "人":
        return r.choice(
            [
                f"这 位 {word} 很 有 {slot} , 离 不 开 {own} 。",
                f"{word} 说 , 今天 的 {own} 和 {slot} 都 不错 。",
                f"听说 {word} 的 {slot} 和 {other} 在 {own} 那里 。",
            ]
        )
    if broad == "地方":
        return r.choice(
            [
                f"我们 去 {word} 看 {own} , 那里 的 {slot} 很 好 。",
                f"{word} 里 有 {own} , 还 有 {slot} 。",
                f"从 {word} 出来 , {slot} 旁边 就 是 {own} 。",
            ]
        )
    return r.choice(
        [
            f"这里 {word} 的 {own} 在 {slot} 旁边 。",
            f"看见 {word} , 就 想起 {own} 和 {slot} 。",
            f"没有 {slot} , {word} 的 {own} 也 不 行 。",
            f"{slot} 和 {other} 都 跟 {word} 的 {own} 有关 。",
        ]
    )


def _person(r: random.Random) -> str:
    (he, she), own_words = r.choice(list(PEOPLE.items()))
    person, (pronoun, title) = r.choice([(he, PRONOUNS["他"]), (she, PRONOUNS["她"])])
    own, other = r.sample(own_words.split(), 2)
    return r.choice(
        [
            f"{person} 说 {pronoun} 丢 了 {pronoun} 的 {own} 。",
            f"{pronoun} 是 {person} , {pronoun} 喜欢 {own} 和 {other} 。",
            f"是 的 , {title} , {person} 有 {pronoun} 自己 的 {own} 。",
            f"我们 把 {own} 给 {pronoun} , 因为 {pronoun} 是 {person} 。",
        ]
    )


def _country(r: random.Random) -> str:
    country, capital, *own_words = r.choice(COUNTRY_TABLE)
    own = r.choice(own_words)
    return r.choice(
        [
            f"{capital} 是 {country} 的 首都 。",
            f"在 {capital} 市 的 街 上 , 市长 介绍 {own} 。",
            f"游客 到 {capital} 市区 找 {own} 。",
            f"{country} 的 边境 很 长 , 军队 守 着 {own} 。",
            f"{country} 的 国旗 和 总统 在 {own} 旁边 。",
        ]
    )


def _groups() -> tuple[dict[str, str], dict[str, str]]:
    groups: dict[str, str] = {}
    unseen: dict[str, str] = {}
    for broad, fine_groups in THINGS.items():
        for fine, (_, members, kept_back) in fine_groups.items():
            groups.update(dict.fromkeys(members, f"{broad}/{fine}"))
            unseen.update(dict.fromkeys(kept_back.split(), f"{broad}/{fine}"))
    groups.update({word: "家人/" for pair in PEOPLE for word in pair})
    for country, capital, *_ in COUNTRY_TABLE:
        groups |= {country: "地名/国家", capital: "地名/首都"}
    return groups, unseen
