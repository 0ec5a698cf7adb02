"""An island that does not exist: an encyclopaedia with facts that no model can know beforehand.

All names are invented syllable by syllable and no two entities share one. So a question about the
island can be answered only from its articles, which is what retrieval is for; and an answer is
right or wrong letter by letter. Another seed gives another island with other names. A name belongs
to a split by its hash, so islands of different splits share no name at all.

====================  ====================================  ==============================
kind of entity        facts                                 one in the island of 120
====================  ====================================  ==============================
village               river, founder, year, product, roofs  24
person                job, home, birth, instrument          36
mountain              height, rock, creature                12
river                 source, length                        12
creature              colour, food                          12
plant                 colour, river, use                    12
festival              village, month, dish                  12
====================  ====================================  ==============================
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

__all__ = ["Article", "Fact", "Island", "IslandQuestion", "island_name_split", "make_island"]

#: Kind -> its part of 120 entities.
SHARES = {
    "village": 24,
    "person": 36,
    "mountain": 12,
    "river": 12,
    "creature": 12,
    "plant": 12,
    "festival": 12,
}
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "grey", "purple", "golden")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September")
PRODUCTS = ("salt", "cheese", "honey", "rope", "paper", "glass", "boats", "bells", "hats", "soap")
JOBS = ("painter", "baker", "sailor", "teacher", "doctor", "poet", "farmer", "miller", "weaver")
INSTRUMENTS = ("flute", "drum", "harp", "violin", "horn", "guitar", "bell", "trumpet")
ROCKS = ("chalk", "granite", "slate", "marble", "basalt", "sandstone", "limestone", "quartz")
USES = ("coughs", "bad dreams", "headaches", "sore feet", "hiccups", "cold hands", "tired eyes")
DISHES = ("fish soup", "plum cake", "bean stew", "nut bread", "honey pie", "rice pudding")

#: Kind -> relation -> (where the value comes from, sentences, questions, question the other way).
#: The source is another kind, a range of numbers or a tuple of words; a trailing ``!`` after a
#: kind means that no two subjects share a value.
RELATIONS = {
    "village": {
        "river": (
            "river",
            ("{s} is a village on the river {v}.", "The village of {s} lies on the river {v}."),
            ("On which river does {s} lie?", "Which river flows through {s}?"),
            "",
        ),
        "founder": (
            "person!",
            ("It was founded by {v}.", "Its founder was {v}."),
            ("Who founded {s}?", "Who was the founder of {s}?"),
            "Which village did {v} found?",
        ),
        "year": (
            range(1500, 1900),
            ("The first house was built in {v}.", "It has stood since {v}."),
            ("When was the first house of {s} built?", "Since which year has {s} stood?"),
            "",
        ),
        "product": (
            PRODUCTS,
            ("The people live from making {v}.", "It is known for its {v}."),
            ("What is {s} known for?", "What do the people of {s} make?"),
            "",
        ),
        "roofs": (
            COLOURS,
            ("All roofs are {v}.", "Its roofs are {v} by law."),
            ("What colour are the roofs of {s}?", "Which colour do the roofs of {s} have?"),
            "",
        ),
    },
    "person": {
        "job": (
            JOBS,
            ("{s} was a {v}.", "{s} worked as a {v}."),
            ("What was the job of {s}?", "What did {s} work as?"),
            "",
        ),
        "home": (
            "village",
            ("The home of {s} was {v}.", "{s} lived in {v} until the end."),
            ("Where did {s} live?", "In which village did {s} live?"),
            "",
        ),
        "birth": (
            range(1440, 1880),
            ("The year of birth was {v}.", "{s} was born in {v}."),
            ("When was {s} born?", "In which year was {s} born?"),
            "",
        ),
        "instrument": (
            INSTRUMENTS,
            ("In the evening {s} played the {v}.", "{s} also played the {v}."),
            ("Which instrument did {s} play?", "What did {s} play in the evening?"),
            "",
        ),
    },
    "mountain": {
        "height": (
            range(320, 2900),
            ("{s} is a mountain of {v} metres.", "Mount {s} is {v} metres high."),
            ("How many metres high is {s}?", "What is the height of {s} in metres?"),
            "",
        ),
        "rock": (
            ROCKS,
            ("Its rock is {v}.", "It is made of {v}."),
            ("What is {s} made of?", "Which rock is {s} made of?"),
            "",
        ),
        "creature": (
            "creature!",
            ("Near the top lives the {v}.", "It is the only home of the {v}."),
            ("Which creature lives on {s}?", "What lives near the top of {s}?"),
            "On which mountain does the {v} live?",
        ),
    },
    "river": {
        "source": (
            "mountain!",
            ("The river {s} begins on {v}.", "{s} is a river that comes down from {v}."),
            ("Where does the river {s} begin?", "From which mountain does {s} come down?"),
            "Which river begins on {v}?",
        ),
        "length": (
            range(11, 180),
            ("It is {v} kilometres long.", "After {v} kilometres it reaches the sea."),
            ("How many kilometres long is {s}?", "What is the length of {s} in kilometres?"),
            "",
        ),
    },
    "creature": {
        "colour": (
            COLOURS,
            ("The {s} is a shy creature with {v} fur.", "The fur of the {s} is {v}."),
            ("What colour is the {s}?", "Which colour has the fur of the {s}?"),
            "",
        ),
        "food": (
            "plant!",
            ("It eats nothing but the leaves of the {v}.", "Its only food is the {v}."),
            ("What does the {s} eat?", "What is the food of the {s}?"),
            "Which creature eats the {v}?",
        ),
    },
    "plant": {
        "colour": (
            COLOURS,
            ("The {s} is a plant with {v} flowers.", "The flowers of the {s} are {v}."),
            ("What colour are the flowers of the {s}?", "Which colour does the {s} bloom in?"),
            "",
        ),
        "river": (
            "river",
            ("It grows only on the banks of the {v}.", "It is found along the {v}."),
            ("Along which river does the {s} grow?", "Where is the {s} found?"),
            "",
        ),
        "use": (
            USES,
            ("A tea of it helps against {v}.", "People take it against {v}."),
            ("What does the {s} help against?", "What do people take the {s} against?"),
            "",
        ),
    },
    "festival": {
        "village": (
            "village!",
            ("{s} is the feast of {v}.", "The feast of {s} is held in {v}."),
            ("Where is {s} held?", "Which village holds {s}?"),
            "What is the feast of {v} called?",
        ),
        "month": (
            MONTHS,
            ("It falls in {v}.", "Every year in {v} people come from far away."),
            ("In which month is {s}?", "When is {s} held?"),
            "",
        ),
        "dish": (
            DISHES,
            ("Everybody gets {v}.", "No feast goes by without {v}."),
            ("What do people eat at {s}?", "Which dish belongs to {s}?"),
            "",
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact of the island."""

    subject: str
    kind: str  # of the subject
    relation: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Article:
    """What the encyclopaedia says about one entity."""

    title: str
    kind: str
    text: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class IslandQuestion:
    """A question, its one answer, and the article that has it."""

    question: str
    answer: str
    article: str  # title
    fact: Fact


@dataclass(frozen=True, kw_only=True)
class Island:
    """An invented island: its name and its encyclopaedia."""

    name: str
    split: str
    articles: tuple[Article, ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts, in the order of the articles."""
        return tuple(fact for article in self.articles for fact in article.facts)

    @property
    def text(self) -> str:
        """The whole encyclopaedia as Markdown, an article under each heading."""
        parts = [f"# {self.name}", *(f"## {a.title}\n\n{a.text}" for a in self.articles)]
        return "\n\n".join(parts) + "\n"

    def article(self, title: str) -> Article:
        """Return the article about an entity.

        Raises
        ------
        KeyError
            When the island has no such entity.
        """
        for article in self.articles:
            if article.title == title:
                return article
        raise KeyError(f"the encyclopaedia of {self.name} has no article {title!r}")

    def questions(self) -> list[IslandQuestion]:
        """Return every question about the island, in two wordings, some the other way round too."""
        found = []
        for fact in self.facts:
            _, _, asked, backwards = RELATIONS[fact.kind][fact.relation]
            ways = [(text, fact.value) for text in asked]
            if backwards:
                ways.append((backwards, fact.subject))
            for text, answer in ways:
                question = text.format(s=fact.subject, v=fact.value)
                found.append(
                    IslandQuestion(
                        question=question, answer=answer, article=fact.subject, fact=fact
                    )
                )
        return found


def island_name_split(name: str) -> str:
    """Return the split that an invented name belongs to: a quarter each held out.

    Examples
    --------
    >>> island_name_split("Tarobe") in ("train", "validation", "test")
    True
    """
    bucket = hashlib.blake2b(name.encode(), digest_size=1).digest()[0] & 3
    return {0: "validation", 1: "test"}.get(bucket, "train")


def make_island(*, seed: int = 0, split: str = "train", size: int = 120) -> Island:
    """Invent an island.

    Parameters
    ----------
    seed : int
        Of names, facts and wording.
    split : str
        Names are drawn only from this split.
    size : int
        Number of entities, at least 20.

    Raises
    ------
    ValueError
        For an unknown split or too small a size.

    Examples
    --------
    >>> island = make_island(seed=1)
    >>> len(island.articles), len({article.title for article in island.articles})
    (120, 120)
    >>> island.article(island.articles[0].title).text.count(".") >= 4
    True
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split {split!r} is not train, validation or test")
    if size < 20:
        raise ValueError(f"size {size} must be at least 20")
    rng = random.Random(f"island {seed}")
    sizes = {kind: round(share * size / 120) for kind, share in SHARES.items()}
    sizes["person"] += size - sum(sizes.values())
    pool = invented_names(size + 1, split, rng)
    island = pool.pop()
    names = {kind: [pool.pop() for _ in range(number)] for kind, number in sizes.items()}
    articles = []
    founded: dict[str, int] = {}
    for kind, relations in RELATIONS.items():
        values = {
            relation: _values(source, names, sizes[kind], rng)
            for relation, (source, *_) in relations.items()
        }
        if kind == "village":
            founded = dict(zip(values["founder"], map(int, values["year"]), strict=True))
        if kind == "person":  # who founded a village was born before
            for i, name in enumerate(names[kind]):
                if name in founded:
                    values["birth"][i] = str(founded[name] - rng.randint(20, 60))
        for i, title in enumerate(names[kind]):
            facts = tuple(
                Fact(subject=title, kind=kind, relation=relation, value=values[relation][i])
                for relation in relations
            )
            articles.append(Article(title=title, kind=kind, text=_article(facts, rng), facts=facts))
    return Island(name=island, split=split, articles=tuple(articles))


def invented_names(count: int, split: str, rng: random.Random) -> list[str]:
    """Invent different names of one split, of three syllables.

    Examples
    --------
    >>> invented_names(3, "train", random.Random(0))
    ['Zovobi', 'Pomini', 'Repeke']
    """
    names: dict[str, None] = {}
    while len(names) < count:
        syllables = [rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3)]
        name = "".join(syllables).capitalize()
        if island_name_split(name) == split:
            names[name] = None
    return list(names)


def _values(
    source: str | range | tuple[str, ...],
    names: dict[str, list[str]],
    count: int,
    rng: random.Random,
) -> list[str]:
    """Draw the values of one relation, for all its subjects."""
    if isinstance(source, str) and source.endswith("!"):
        return rng.sample(names[source[:-1]], count)
    choices = names[source] if isinstance(source, str) else source
    return [str(rng.choice(choices)) for _ in range(count)]


def _article(facts: tuple[Fact, ...], rng: random.Random) -> str:
    """Write an article: the first fact says what the thing is, the others come in any order."""
    first, *others = facts
    rng.shuffle(others)
    sentences = []
    for fact in (first, *others):
        wordings = RELATIONS[fact.kind][fact.relation][1]
        sentences.append(rng.choice(wordings).format(s=fact.subject, v=fact.value))
    return " ".join(sentences)
