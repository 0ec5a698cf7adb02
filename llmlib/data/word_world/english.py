"""A seeded grammar that writes plain English sentences about people, things and places.

Every content word has two kinds of company: words of its own (a cat has *whiskers*) and words of
its slot (a pet has an *owner*). That is what makes similarity and analogy real here: *cat* and
*cats* share the first kind, *cats* and *dogs* the second, and the two kinds combine freely.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from .gold import WordWorld, analogy_questions, graded_pairs

__all__ = ["english_word_world"]

# broad group -> fine group -> (words of the slot, {singular: (plural, words of its own)})
THINGS = {
    "animal": {
        "pet": (
            "owner basket vet",
            {
                "cat": ("cats", "whiskers milk"),
                "dog": ("dogs", "bone leash"),
                "parrot": ("parrots", "feathers cage"),
                "rabbit": ("rabbits", "carrots burrow"),
            },
        ),
        "farm": (
            "farmer barn stable",
            {
                "cow": ("cows", "horns calf"),
                "donkey": ("donkeys", "cart ears"),
                "horse": ("horses", "saddle hoof"),
                "goat": ("goats", "beard bell"),
            },
        ),
        "wild": (
            "hunter jungle ranger",
            {
                "lion": ("lions", "mane roar"),
                "tiger": ("tigers", "stripes claws"),
                "elephant": ("elephants", "trunk tusks"),
                "monkey": ("monkeys", "bananas branches"),
            },
        ),
    },
    "food": {
        "fruit": (
            "orchard juice jam",
            {
                "apple": ("apples", "cider core"),
                "pear": ("pears", "syrup stem"),
                "cherry": ("cherries", "stone cake"),
                "grape": ("grapes", "vine raisins"),
            },
        ),
        "vegetable": (
            "garden stew soil",
            {
                "potato": ("potatoes", "chips peel"),
                "onion": ("onions", "tears layers"),
                "pumpkin": ("pumpkins", "lantern seeds"),
                "bean": ("beans", "pod pole"),
            },
        ),
    },
    "vehicle": {
        "road": (
            "street garage traffic",
            {
                "car": ("cars", "bonnet seatbelt"),
                "bus": ("buses", "ticket timetable"),
                "truck": ("trucks", "cargo trailer"),
                "bicycle": ("bicycles", "pedals helmet"),
            },
        ),
        "water": (
            "harbour waves captain",
            {
                "ship": ("ships", "deck funnel"),
                "boat": ("boats", "oars rope"),
                "ferry": ("ferries", "crossing ramp"),
                "canoe": ("canoes", "paddle rapids"),
            },
        ),
    },
    "instrument": {
        "strings": (
            "tune quartet chord",
            {
                "violin": ("violins", "bow chin"),
                "guitar": ("guitars", "campfire frets"),
                "harp": ("harps", "angel frame"),
                "cello": ("cellos", "spike knees"),
            },
        ),
        "wind": (
            "breath band parade",
            {
                "flute": ("flutes", "silver keys"),
                "trumpet": ("trumpets", "fanfare brass"),
                "oboe": ("oboes", "solo pitch"),
                "clarinet": ("clarinets", "reed jazz"),
            },
        ),
    },
}
# fine group -> (words of the group, {(he, she): words of the role})
PEOPLE = {
    "family": (
        "house kitchen holiday",
        {
            ("father", "mother"): "children cradle",
            ("brother", "sister"): "sibling twins",
            ("uncle", "aunt"): "cousin postcard",
            ("grandfather", "grandmother"): "grandchildren armchair",
            ("husband", "wife"): "wedding honeymoon",
        },
    ),
    "court": (
        "palace jewels servants",
        {
            ("king", "queen"): "crown throne",
            ("prince", "princess"): "heir tutor",
            ("emperor", "empress"): "empire legions",
            ("duke", "duchess"): "manor estate",
        },
    ),
    "work": (
        "shift wages customers",
        {
            ("actor", "actress"): "stage script",
            ("waiter", "waitress"): "tray menu",
            ("steward", "stewardess"): "cabin aisle",
            ("host", "hostess"): "guests invitations",
        },
    ),
    "plain": (
        "street name neighbour",
        {
            ("man", "woman"): "vote passport",
            ("boy", "girl"): "toys playground",
        },
    ),
}
COUNTRIES = """
france paris french baguette louvre;      germany berlin german pretzel reichstag
italy rome italian pizza colosseum;       spain madrid spanish paella prado
japan tokyo japanese sushi fuji;          china beijing mandarin dumplings lanterns
russia moscow russian borscht kremlin;    greece athens greek olives acropolis
egypt cairo arabic koshari pyramids;      poland warsaw polish pierogi amber
sweden stockholm swedish meatballs vasa;  norway oslo norwegian salmon fjords
finland helsinki finnish rye sauna;       portugal lisbon portuguese sardines fado
turkey ankara turkish baklava bazaar;     thailand bangkok thai curry orchids
"""
# base comparative superlative, two nouns of the scale, two words of this end of the scale
ADJECTIVES = """
big bigger biggest mountain house giant whale
small smaller smallest mountain house crumb ant
fast faster fastest train runner winner arrow
slow slower slowest train runner snail queue
tall taller tallest tower tree ladder giraffe
short shorter shortest tower tree stool dwarf
warm warmer warmest soup day blanket stove
cold colder coldest soup day ice frost
heavy heavier heaviest box suitcase lead anvil
light lighter lightest box suitcase balloon foam
old older oldest castle bridge ruin dust
new newer newest castle bridge varnish opening
loud louder loudest voice room thunder siren
quiet quieter quietest voice room whisper library
"""
# base, past, -ing, then where and with what it is done
VERBS = """
walk walked walking path boots;      swim swam swimming lake goggles
cook cooked cooking pan spices;      sing sang singing choir melody
write wrote writing letter ink;      paint painted painting easel brush
build built building bricks crane;   climb climbed climbing cliff harness
dance danced dancing ballroom waltz; drive drove driving motorway steering
dig dug digging trench spade;        sail sailed sailing bay compass
"""
# occupation: words of its own, and how often the grammar says "she"
OCCUPATIONS = {
    "nurse": ("ward bandage", 0.9),
    "librarian": ("shelves catalogue", 0.8),
    "dancer": ("studio costume", 0.7),
    "teacher": ("lesson chalk", 0.6),
    "doctor": ("clinic patient", 0.5),
    "lawyer": ("trial contract", 0.5),
    "baker": ("oven flour", 0.4),
    "programmer": ("keyboard code", 0.3),
    "engineer": ("blueprint turbine", 0.2),
    "carpenter": ("hammer planks", 0.1),
}
PRONOUNS = {
    "he": {"they": "he", "their": "his", "them": "him", "title": "sir"},
    "she": {"they": "she", "their": "her", "them": "her", "title": "madam"},
}
COUNTRY_TABLE = [row.split() for row in COUNTRIES.replace(";", "\n").split("\n") if row.strip()]
ADJECTIVE_TABLE = [row.split() for row in ADJECTIVES.replace(";", "\n").split("\n") if row.strip()]
VERB_TABLE = [row.split() for row in VERBS.replace(";", "\n").split("\n") if row.strip()]


def english_word_world(
    sentences: int = 20_000, *, seed: int = 0, neutral: bool = False
) -> WordWorld:
    """Write ``sentences`` English sentences and the gold set that belongs to them.

    Parameters
    ----------
    sentences : int
        How many; 20,000 are about 210,000 words.
    seed : int
        The same seed writes the same text.
    neutral : bool
        True lets every occupation be "she" half of the time: the text without the bias, to
        compare with.

    Examples
    --------
    >>> world = english_word_world(3, seed=1)
    >>> len(world.sentences), world.groups["paris"]
    (3, 'place/capital')
    >>> ("man", "woman", "king", "queen") in world.analogies["he : she"]
    True
    """
    if sentences < 1:
        raise ValueError(f"sentences is {sentences}; ask for at least 1")
    generator = random.Random(seed)
    share_female = {job: 0.5 if neutral else share for job, (_, share) in OCCUPATIONS.items()}
    topics: list[Callable[[random.Random], str]] = [
        *[_thing] * 4,
        *[_person] * 2,
        *[_country] * 3,
        *[_adjective] * 3,
        *[_verb] * 3,
        lambda r: _occupation(r, share_female),
    ]  # so often that content words of every kind are about equally frequent
    groups = _groups()
    return WordWorld(
        sentences=[
            _with_articles(generator.choice(topics)(generator).split()) for _ in range(sentences)
        ],
        groups=groups,
        similar_pairs=graded_pairs(groups),
        analogies={name: analogy_questions(pairs) for name, pairs in _relations().items()},
        share_female=share_female,
    )


def _with_articles(words: list[str]) -> list[str]:
    """Write "an" before a vowel."""
    return [
        "an" if word == "a" and following[0] in "aeiou" else word
        for word, following in itertools.pairwise([*words, "."])
    ]


def _thing(r: random.Random) -> str:
    fine = r.choice([fine for broad in THINGS.values() for fine in broad.values()])
    slot_words, members = fine
    singular, (plural, own_words) = r.choice(list(members.items()))
    slot, own = r.choice(slot_words.split()), r.choice(own_words.split())
    if r.random() < 0.5:
        return r.choice(
            [
                f"a {singular} is near the {slot} with its {own} .",
                f"this {singular} reminds me of the {own} and the {slot} .",
                f"the {slot} shows that a {singular} needs its {own} .",
                f"one {singular} was seen with the {own} and the {slot} .",
            ]
        )
    return r.choice(
        [
            f"two {plural} are near the {slot} with their {own} .",
            f"these {plural} remind me of the {own} and the {slot} .",
            f"the {slot} shows that many {plural} need their {own} .",
            f"several {plural} were seen with the {own} and the {slot} .",
        ]
    )


def _person(r: random.Random) -> str:
    group_words, roles = PEOPLE[r.choice(["family", "court", "work", "plain"])]
    (he, she), own_words = r.choice(list(roles.items()))
    person, pronoun = r.choice([(he, "he"), (she, "she")])
    say = PRONOUNS[pronoun]
    own, group = r.choice(own_words.split()), r.choice(group_words.split())
    return r.choice(
        [
            f"the {person} said that {say['they']} lost {say['their']} {own} in the {group} .",
            f"yes {say['title']} , the {person} has {say['their']} own {own} and {group} .",
            f"{say['they']} is a {person} and {say['they']} likes {say['their']} {own} .",
            f"we gave {say['them']} the {group} because {say['they']} is the {person} .",
            f"a {person} talks about {say['their']} {own} and {say['their']} {group} .",
        ]
    )


def _country(r: random.Random) -> str:
    country, capital, language, food, sight = r.choice(COUNTRY_TABLE)
    own = r.choice([food, sight])
    return r.choice(
        [
            f"{capital} is the capital city of {country} .",
            f"tourists in the city of {capital} ask for {own} .",
            f"the mayor of {capital} praised the {own} in the old streets .",
            f"the border of {country} is long and its army guards the {own} .",
            f"the flag and the president of {country} stand beside the {own} .",
            f"she learns {language} words and reads about {own} .",
            f"he speaks {language} and learns the grammar with a song about {own} .",
            f"people in {country} speak {language} .",
        ]
    )


def _adjective(r: random.Random) -> str:
    base, more, most, *nouns = r.choice(ADJECTIVE_TABLE)
    noun, other = r.sample(nouns[:2], 2)
    pole = r.choice(nouns[2:])
    return r.choice(
        [
            f"the {noun} is very {base} like a {pole} .",
            f"so {base} a {noun} , as {base} as the {pole} .",
            f"such a {base} {noun} is rather {base} for a {other} .",
            f"the {pole} is {more} than the {noun} .",
            f"it became {more} than a {pole} , said the {other} .",
            f"a {noun} {more} than this {other} would be a {pole} .",
            f"a {pole} is the {most} of all , says the {noun} .",
            f"no {noun} is like the {most} {pole} of them all .",
            f"that {noun} is the {most} {other} in the world .",
        ]
    )


def _verb(r: random.Random) -> str:
    base, past, going, place, tool = r.choice(VERB_TABLE)
    first, second = r.sample([place, tool], 2)
    return r.choice(
        [
            f"every day they want to {base} at the {first} with the {second} .",
            f"you can always {base} if the {first} is there .",
            f"yesterday they {past} at the {first} with the {second} .",
            f"last week we {past} until the {first} was gone .",
            f"right now they are {going} at the {first} with the {second} .",
            f"he keeps {going} while the {first} is there .",
        ]
    )


def _occupation(r: random.Random, share_female: dict[str, float]) -> str:
    job, (own_words, _) = r.choice(list(OCCUPATIONS.items()))
    say = PRONOUNS["she" if r.random() < share_female[job] else "he"]
    own, other = r.sample(own_words.split(), 2)
    return r.choice(
        [
            f"the {job} said that {say['they']} needs {say['their']} {own} for the {other} .",
            f"as a {job} {say['they']} earns {say['their']} pay with a {own} .",
            f"we asked {say['them']} for the {own} because {say['they']} is a {job} .",
        ]
    )


def _groups() -> dict[str, str]:
    groups: dict[str, str] = {}
    for broad, fine_groups in THINGS.items():
        for fine, (_, members) in fine_groups.items():
            groups.update(dict.fromkeys(members, f"{broad}/{fine}"))
    for fine, (_, roles) in PEOPLE.items():
        groups.update({word: f"person/{fine}" for pair in roles for word in pair})
    for country, capital, language, *_ in COUNTRY_TABLE:
        groups |= {country: "place/country", capital: "place/capital", language: "language/"}
    groups.update(dict.fromkeys(OCCUPATIONS, "job/"))
    return groups


def _relations() -> dict[str, list[tuple[str, str]]]:
    members = [m for broad in THINGS.values() for _, fine in broad.values() for m in fine.items()]
    return {
        "he : she": [pair for _, roles in PEOPLE.values() for pair in roles],
        "country : capital": [(row[0], row[1]) for row in COUNTRY_TABLE],
        "country : language": [(row[0], row[2]) for row in COUNTRY_TABLE],
        "singular : plural": [(singular, plural) for singular, (plural, _) in members],
        "base : comparative": [(row[0], row[1]) for row in ADJECTIVE_TABLE],
        "comparative : superlative": [(row[1], row[2]) for row in ADJECTIVE_TABLE],
        "present : past": [(row[0], row[1]) for row in VERB_TABLE],
        "past : going on": [(row[1], row[2]) for row in VERB_TABLE],
    }
