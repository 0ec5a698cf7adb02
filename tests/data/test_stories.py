"""The story world: its information is exact, its splits are disjoint, it is fast and varied."""

import collections
import itertools
import json
import math
import time

import pytest

from llmlib.data.minhash import jaccard, near_duplicates, shingles
from llmlib.data.stories import (
    Story,
    StoryRecord,
    generate_stories,
    log_probability,
    read_story,
    split_of,
)
from llmlib.data.stories.__main__ import main
from llmlib.data.stories.ambiguity import Automaton, ambiguities, clash
from llmlib.data.stories.describe import describe
from llmlib.data.stories.generate import tellings
from llmlib.data.stories.notation import Choice, Shared, Slot, expansions, parse_line, parse_plots
from llmlib.data.stories.plots import plots
from llmlib.data.stories.vocabulary import KINDS, LANGUAGES, fillers, forms
from tests.data.tiny_world import all_texts

SPLITS = ("train", "validation", "test")
EMPTY = {"en": Shared({}, {}), "zh": Shared({}, {})}


def sample(count, **options):
    return list(generate_stories(count, **options))


# --- the information in a story ---------------------------------------------------------------


def test_the_probabilities_of_all_stories_of_a_tiny_world_sum_to_one(tiny_world):
    texts = all_texts(tiny_world)
    assert len(texts) > 3000
    assert math.isclose(sum(texts.values()), 1, rel_tol=1e-9)
    for text, probability in itertools.islice(texts.items(), 0, None, 97):
        assert math.isclose(log_probability(text), math.log2(probability), rel_tol=1e-9)


def test_stories_of_a_tiny_world_come_as_often_as_they_should(tiny_world):
    texts = all_texts(tiny_world)
    told = [
        s for split in SPLITS for s in sample(20_000 if split == "train" else 1400, split=split)
    ]
    assert all(math.isclose(2**-s.bits, texts[s.text], rel_tol=1e-9) for s in told)
    endings = collections.Counter(s.record.ending for s in told)
    for ending, share in (("shut", 0.2), ("open", 0.3), ("lost", 0.5)):
        error = math.sqrt(share * (1 - share) / len(told))
        assert abs(endings[ending] / len(told) - share) < 5 * error
    nice = collections.Counter(
        s.text.split(" door is ")[1].split()[0] for s in told if " door is " in s.text
    )
    share = nice["nice"] / sum(nice.values())
    assert abs(share - 0.75) < 5 * math.sqrt(0.75 * 0.25 / sum(nice.values()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_series_of_choices_give_one_text(language):
    assert ambiguities(language) == []


def test_an_ambiguous_line_is_found():
    def make(text):
        return Automaton(parse_line(text, {}), {"hero": "person", "spot": "spot"}, "en")

    assert clash(make("{hero} hid {spot}."), make("Anna hid under [a bush|a tree]."))
    assert clash(make("[in|in the] [the |]house"))
    assert clash(make("one"), make("one two"))
    assert not clash(make("one"), make("onetwo"))
    assert not clash(make("{hero} hid {spot}[| again]."))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_generators_sum_is_what_the_reader_finds_in_the_text(language):
    for story in sample(200, seed=11, language=language):
        again = read_story(story.text, language=language)
        assert again.record == story.record
        assert math.isclose(again.bits, story.bits, rel_tol=1e-9)
        assert math.isclose(log_probability(story.text, language=language), -story.bits)


def test_options_are_drawn_as_often_as_the_notation_says():
    """Lines and options of the real plots, counted over many stories."""
    told = sample(45_000, seed=5)
    plot_counts = collections.Counter(s.record.plot for s in told)
    assert set(plot_counts) == {plot.name for plot in plots()}
    for count in plot_counts.values():
        assert abs(count - 1000) < 5 * math.sqrt(1000)
    ending = collections.Counter(s.record.ending for s in told if s.record.plot == "the lost thing")
    share = ending["found"] / sum(ending.values())
    assert abs(share - 0.6) < 5 * math.sqrt(0.24 / sum(ending.values()))
    heroes = collections.Counter(s.record.hero for s in told)
    del heroes[None]
    mean = sum(heroes.values()) / 40
    assert len(heroes) == 40
    assert all(abs(count - mean) < 5 * math.sqrt(mean) for count in heroes.values())
    said = collections.Counter(
        word for s in told for word in ("answered", "replied") if f'" {word} ' in s.text
    )
    assert abs(said["answered"] - said["replied"]) < 5 * math.sqrt(sum(said.values()))


def test_probabilities_of_every_line_sum_to_one():
    for language in LANGUAGES:
        for plot in plots():
            for ending in plot.endings:
                for line in itertools.chain.from_iterable(plot.path(language, ending)):
                    for piece in line:
                        if isinstance(piece, Choice):
                            assert sum(p for _, p in expansions((piece,))) == 1


# --- records and splits -----------------------------------------------------------------------


def test_the_same_seed_gives_the_same_stories():
    assert sample(50, seed=3) == sample(50, seed=3)
    assert sample(50, seed=3) != sample(50, seed=4)
    assert sample(20, seed=3) == sample(50, seed=3)[:20]


def test_both_languages_tell_the_same_records():
    english, chinese = (sample(300, seed=8, language=language) for language in LANGUAGES)
    assert [s.record for s in english] == [s.record for s in chinese]
    assert not any(c.isascii() and c.isalpha() for s in chinese for c in s.text)
    assert all(s.text.isascii() for s in english)


def test_a_split_is_a_function_of_the_record_alone():
    facts = {}
    for split in SPLITS:
        stories = [s for seed in range(3) for s in sample(1500, seed=seed, split=split)]
        assert {split_of(s.record) for s in stories} == {split}
        facts[split] = {(s.record.plot, *s.record.facts.values()) for s in stories}
    assert not facts["train"] & facts["validation"]
    assert not facts["train"] & facts["test"]
    assert not facts["validation"] & facts["test"]


@pytest.mark.parametrize(
    ("split", "facts"),
    [
        (
            "train",
            {
                "plot": "the old map",
                "hero": "Polly",
                "kin": "mother",
                "thing": "coin",
                "colour": "purple",
                "place": "mill",
                "second_place": "river",
            },
        ),
        (
            "validation",
            {
                "plot": "the quarrel",
                "hero": "Max",
                "friend": "Jack",
                "helper": "miller",
                "thing": "hoop",
                "colour": "black",
            },
        ),
        (
            "test",
            {
                "plot": "the birthday gift",
                "hero": "Ivy",
                "friend": "Wendy",
                "helper": "shepherd",
                "thing": "train",
                "second_thing": "spoon",
                "colour": "grey",
            },
        ),
    ],
)
def test_the_split_never_changes(split, facts):
    """A checkpoint that ships was trained on this split: another hash would leak."""
    assert split_of(StoryRecord(ending="any", **facts)) == split


def test_the_splits_have_the_sizes_that_are_claimed():
    counted = collections.Counter()
    for number in range(20_000):
        record = StoryRecord(plot="the race", ending="slow", animal=f"animal {number}")
        counted[split_of(record)] += 1
        other = StoryRecord(plot="the race", ending="help", animal=f"animal {number}")
        assert split_of(other) == split_of(record)
    for split in ("validation", "test"):
        assert abs(counted[split] / 20_000 - 1 / 16) < 0.01


def test_nothing_held_out_is_nearly_in_the_training_stories():
    """Jaccard similarity of 5-word shingles, 0.9: one other word in the middle of a text of 100
    words changes five of its 96 shingles, on both sides, and gives 91/101 = 0.90. So a pair above
    the threshold would tell one and the same record in the same words, but for a few at the ends.
    """
    train = [s.text for seed in range(3) for s in sample(1000, seed=seed)]
    held_out = [s.text for split in SPLITS[1:] for s in sample(700, seed=0, split=split)]
    assert near_duplicates(train, held_out, threshold=0.9) == []
    assert near_duplicates(train, threshold=0.9) == []
    planted = held_out[0].replace(" the ", " a ", 1)
    assert jaccard(shingles(planted), shingles(held_out[0])) > 0.8
    assert [pair[:2] for pair in near_duplicates([*train, planted], held_out, threshold=0.8)] == [
        (3000, 0)
    ]


def test_records_have_who_what_where_and_what_happened():
    for story in sample(600, seed=21):
        record = story.record
        assert record.who
        assert record.what or record.where
        for value in record.facts.values():
            assert value.lower() in story.text.lower(), (value, story.text)
        assert record.happened[0].isupper()
        assert record.happened.endswith(".")
        for person in (record.right, record.wrong):
            assert person is None or any(name in person for name in record.who)


# --- the plots and the words ------------------------------------------------------------------


def mentions(line, slot):
    """Fewest mentions that say what a slot is, whatever options are drawn."""
    pronouns = {"she", "her", "him", "herself", "She", "Her", "Him", "Herself", "ta", "mw"}
    total = 0
    for piece in line:
        if isinstance(piece, Slot):
            total += piece.name == slot and piece.form not in pronouns
        elif isinstance(piece, Choice):
            total += min(mentions(option, slot) for option, _ in piece.options)
    return total


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fact_comes_twice_in_every_telling(language):
    for plot in plots():
        for ending in plot.endings:
            for slot in plot.slots:
                beats = plot.path(language, ending)
                least = sum(min(mentions(line, slot) for line in beat) for beat in beats)
                assert least >= 2, (plot.name, ending, slot)


def test_the_world_is_rich():
    assert len(plots()) >= 40
    assert all(len(plot.endings) >= 2 for plot in plots())
    assert all(len(plot.path("en", ending)) >= 5 for plot in plots() for ending in plot.endings)
    numbers = describe(10_000)
    assert 600 < numbers["distinct words"] < 1200
    assert numbers["rarest word, times in 50 MB"] > 100
    assert numbers["fewest words in a story"] >= 40
    assert numbers["most words in a story"] <= 125
    assert numbers["repeated texts"] == 0
    assert 0.05 < numbers["bits per character"] < 0.5


def test_words_are_shared_enough_to_be_learned():
    told = sample(10_000, seed=1)
    size = sum(len(s.text) for s in told)
    words = collections.Counter(w for s in told for w in set(s.text.lower().split()))
    often = sum(1 for count in words.values() if count * 50e6 / size > 1000)
    assert often > 600


def test_fillers_are_all_different():
    words = [word for kind in KINDS for word in fillers(kind)]
    assert len(words) == len(set(words)) > 150
    for language in LANGUAGES:
        for kind in KINDS:
            assert len(forms(kind, "", language)) == len(fillers(kind))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{hero} ran] home", "stray"),
        ("{hero} [ran home", "open bracket"),
        ("[ran|ran] home", "all different"),
        ("<nowhere> home", "no macro <nowhere>"),
        ("100 % sure", "stray"),
    ],
)
def test_mistakes_in_the_notation_are_errors(text, message):
    with pytest.raises(ValueError, match=message):
        parse_line(text, {})


def test_languages_need_the_same_endings():
    with pytest.raises(ValueError, match="languages differ"):
        parse_plots("== a : hero=person\nA.\n=> x : X.\nB.\nzh\nC.", EMPTY)
    with pytest.raises(ValueError, match="no ending 'y'"):
        parse_plots("== a : hero=person\nA.\n=> x : X.\nB.\nzh\nC.\n=> y\nD.", EMPTY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": -1}, "count -1"),
        ({"split": "dev"}, "'dev' is not one of"),
        ({"language": "de"}, "'de' is not one of"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        generate_stories(**{"count": 1} | options)


def test_an_endless_stream():
    assert len(list(itertools.islice(generate_stories(None), 5))) == 5
    assert sample(0) == []


def test_it_writes_five_megabytes_per_second():
    tellings("en")
    speeds = []
    for seed in range(3):
        start = time.process_time()
        size = sum(len(story.text) for story in generate_stories(4000, seed=seed))
        speeds.append(size / 1e6 / (time.process_time() - start))
    assert max(speeds) > 5


# --- the command ------------------------------------------------------------------------------


def test_the_command_writes_text(tmp_path, capsys):
    file = tmp_path / "stories.txt"
    assert main(["--count", "5", "--seed", "2", "--language", "zh", "--out", str(file)]) == 0
    expected = [s.text for s in sample(5, seed=2, language="zh")]
    assert file.read_text(encoding="utf-8").splitlines() == expected
    assert main(["--count", "2", "--split", "test"]) == 0
    assert capsys.readouterr().out.splitlines() == [s.text for s in sample(2, split="test")]


def test_the_command_writes_records(tmp_path):
    file = tmp_path / "stories.jsonl"
    main(["--count", "4", "--format", "jsonl", "--out", str(file)])
    for line, story in zip(file.read_text(encoding="utf-8").splitlines(), sample(4), strict=True):
        row = json.loads(line)
        assert Story(row["text"], StoryRecord(**row["record"]), story.bits) == story
        assert math.isclose(row["bits"], story.bits, abs_tol=1e-5)


def test_the_command_describes_the_world(capsys):
    main(["--describe", "--count", "300"])
    shown = capsys.readouterr().out
    assert "bits per character" in shown
    assert "45" in shown
