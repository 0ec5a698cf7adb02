"""Questions about the island that name nothing: who is meant has to be found by meaning.

"Which herb with snowy petals soothes a rough throat?" asks for the article that says "The Buvebi is
a plant with white flowers. ... A tea of it helps against coughs." Hardly a word is shared. Every
value of a fact has several other wordings: ``heard`` ones, from which a model may learn that they
mean the same, and one ``unheard``, which only somebody knows who has read more than this island.

===========  =================================  ==============================================
kind         described by                       looked for
===========  =================================  ==============================================
village      product, roofs                     every village of which both are true
person       job, instrument                    every person ...
mountain     rock                               ...
creature     colour
plant        colour, use
festival     month, dish
===========  =================================  ==============================================

Rivers have a length and a source only, and those have no other wording.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from llmlib.data.island import Article, Island

__all__ = ["IslandDescription", "describe_articles"]

#: Value -> other wordings; the last is the unheard one.
WORDINGS = {
    # colours
    "red": ("scarlet", "blood-like", "crimson"),
    "blue": ("azure", "sky-like", "sapphire"),
    "green": ("emerald", "grass-like", "leafy"),
    "yellow": ("lemon-like", "straw-like", "canary"),
    "white": ("snowy", "milk-like", "ivory"),
    "black": ("pitch-dark", "coal-like", "ebony"),
    "brown": ("chestnut", "bark-like", "hazel"),
    "grey": ("ashen", "lead-like", "silvery"),
    "purple": ("violet", "plum-like", "lilac"),
    "golden": ("gilded", "wheat-like", "amber"),
    # products
    "salt": (
        "grains left by dried sea water",
        "the oldest seasoning",
        "what keeps meat over winter",
    ),
    "cheese": ("pressed curds", "wheels from the dairy", "what mice like best"),
    "honey": ("what bees gather", "sweet combs", "the first sugar"),
    "rope": ("cordage", "twisted hemp", "what holds a ship at the quay"),
    "paper": ("sheets to write upon", "pages", "what letters need"),
    "glass": ("window panes", "clear bottles", "melted sand"),
    "boats": ("small ships", "hulls with oars", "canoes"),
    "bells": ("what rings in towers", "bronze chimes", "carillons"),
    "hats": ("headwear", "caps with brims", "bonnets"),
    "soap": ("what washes hands clean", "lather", "bubbles for laundry"),
    # jobs
    "painter": ("made portraits", "worked with brush and canvas", "was an artist"),
    "baker": ("had loaves ready at dawn", "worked at the oven", "sold rolls"),
    "sailor": ("went to sea", "worked on deck", "knew every harbour"),
    "teacher": ("taught children", "worked at a blackboard", "ran a school"),
    "doctor": ("healed the sick", "worked with bandages", "prescribed pills"),
    "poet": ("wrote verses", "lived by rhymes", "composed sonnets"),
    "farmer": ("ploughed fields", "brought in harvests", "kept cows"),
    "miller": ("ground corn", "lived by sails and stones", "sold flour"),
    "weaver": ("made cloth", "sat at a loom", "sold linen"),
    # instruments
    "flute": ("blew a thin pipe with holes", "whistled on wood", "loved the piccolo"),
    "drum": ("beat a skin with sticks", "kept the rhythm loudly", "loved percussion"),
    "harp": ("plucked a tall frame of strings", "sounded like angels", "loved arpeggios"),
    "violin": ("drew a bow over four strings", "fiddled", "loved the viola"),
    "horn": ("blew hunting calls", "sounded like a stag hunt", "loved the bugle"),
    "guitar": ("strummed six strings", "accompanied songs with chords", "loved the lute"),
    "bell": ("swung a small ringer", "tinkled", "loved chimes"),
    "trumpet": ("blew fanfares", "sounded like a parade", "loved the cornet"),
    # rocks
    "chalk": ("soft stone of pale cliffs", "what schools write with", "dusty cliffs"),
    "granite": ("speckled stone for kerbs", "the hardest building stone", "a pluton"),
    "slate": ("dark stone that splits into tiles", "roofing stone", "shale under pressure"),
    "marble": ("the stone of sculptors", "polished temple stone", "what statues are cut from"),
    "basalt": ("cooled lava", "six-sided columns of a volcano", "frozen magma"),
    "sandstone": ("pressed dunes", "grainy stone of deserts", "a petrified beach"),
    "limestone": ("stone full of shells", "stone that caves form in", "old reefs"),
    "quartz": ("clear crystals", "glittering hexagons", "what watches tick by"),
    # uses
    "coughs": ("a rough throat", "barking chests", "bronchitis"),
    "bad dreams": ("nightmares", "visions at night", "restless sleep"),
    "headaches": ("a throbbing brow", "hammering temples", "migraine"),
    "sore feet": ("aching soles", "blisters from walking", "worn heels"),
    "hiccups": ("a jumping breath", "endless hics", "a twitching diaphragm"),
    "cold hands": ("freezing fingers", "icy palms", "frostbite"),
    "tired eyes": ("heavy lids", "blurry sight", "strain from reading"),
    # months
    "January": ("the first month", "the weeks after New Year", "the depth of winter"),
    "February": ("the second month", "the shortest month", "carnival time"),
    "March": ("the third month", "the start of spring", "the equinox before Easter"),
    "April": ("the fourth month", "the time of showers", "Easter time"),
    "May": ("the fifth month", "the end of spring", "the time of maypoles"),
    "June": ("the sixth month", "the start of summer", "midsummer night"),
    "July": ("the seventh month", "the middle of summer", "the dog days"),
    "August": ("the eighth month", "the end of summer", "the school holidays"),
    "September": ("the ninth month", "the start of autumn", "grape picking"),
    # dishes
    "fish soup": ("broth of the catch", "bouillon with fins", "chowder"),
    "plum cake": ("pastry with stone fruit", "a tray of sweet fruit slices", "crumble"),
    "bean stew": ("a pot of pulses", "simmered legumes", "chili"),
    "nut bread": ("a loaf with walnuts", "dough with hazels", "a crunchy loaf"),
    "honey pie": ("a tart for bears", "a crust with nectar", "sticky baklava"),
    "rice pudding": ("sweet grains in milk", "creamy paddy", "risotto with cinnamon"),
}

#: Kind -> relations that describe it, and templates.
TEMPLATES = {
    "village": (
        ("roofs", "product"),
        (
            "Which settlement has {roofs} tops and sells {product}?",
            "Where do houses wear {roofs} tiles while people trade in {product}?",
        ),
    ),
    "person": (
        ("job", "instrument"),
        (
            "Who {job} by day and {instrument} after dark?",
            "Somebody {job}, and for pleasure {instrument}. Who?",
        ),
    ),
    "mountain": (("rock",), ("Which peak consists of {rock}?", "A summit of {rock}: which?")),
    "creature": (
        ("colour",),
        ("Which animal has a {colour} coat?", "A beast, timid, with {colour} hair: which?"),
    ),
    "plant": (
        ("colour", "use"),
        (
            "Which herb with {colour} petals soothes {use}?",
            "Suffering from {use}: which shrub, in blossom {colour}, cures?",
        ),
    ),
    "festival": (
        ("month", "dish"),
        (
            "Which celebration serves {dish} around {month}?",
            "Guests share {dish} around {month}: which fair?",
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class IslandDescription:
    """A question that names nothing, and the articles it may mean."""

    question: str
    kind: str
    article: str  # title of the article it was made from
    articles: tuple[str, ...]  # titles: all of which the description is true


def describe_articles(
    island: Island, *, seed: int = 0, heard: bool = True
) -> list[IslandDescription]:
    """One description of every article that has one, in the order of the articles.

    Parameters
    ----------
    island : Island
        What to describe.
    seed : int
        Of the choice among wordings.
    heard : bool
        Use the wordings that are there to be learned from; else the one held back.

    Examples
    --------
    >>> from llmlib.data import make_island
    >>> island = make_island(seed=1)
    >>> described = describe_articles(island)
    >>> len(described)                      # 120 articles, 12 of them about rivers
    108
    >>> any(a.title in d.question for d in described for a in island.articles)
    False
    """
    rng = random.Random(f"descriptions {seed}")
    groups: dict[tuple[str, ...], list[str]] = {}
    for article in island.articles:
        if article.kind in TEMPLATES:
            groups.setdefault(_described_by(article), []).append(article.title)
    found = []
    for article in island.articles:
        if article.kind not in TEMPLATES:
            continue
        relations, templates = TEMPLATES[article.kind]
        key = _described_by(article)
        chosen = [
            rng.choice(WORDINGS[value][:-1]) if heard else WORDINGS[value][-1] for value in key[1:]
        ]
        question = rng.choice(templates).format(**dict(zip(relations, chosen, strict=True)))
        found.append(
            IslandDescription(
                question=question,
                kind=article.kind,
                article=article.title,
                articles=tuple(groups[key]),
            )
        )
    return found


def _described_by(article: Article) -> tuple[str, ...]:
    """The kind and the values that describe an article: what tells it from others."""
    values = {fact.relation: fact.value for fact in article.facts}
    return (article.kind, *(values[relation] for relation in TEMPLATES[article.kind][0]))
