"""The reader accepts every story and says what is wrong with every other text."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.data.stories import (
    check_story,
    continuation_errors,
    generate_stories,
    log_probability,
    read_story,
)
from llmlib.data.stories.plots import plots
from llmlib.data.stories.read import ASPECTS, _Reader, aspect
from llmlib.data.stories.record import FACTS
from llmlib.data.stories.vocabulary import LANGUAGES, fillers


def one_of_each(language="en", seed=0):
    """A story for every plot and ending."""
    found = {}
    wanted = sum(len(plot.endings) for plot in plots())
    for story in generate_stories(None, seed=seed, language=language):
        found.setdefault((story.record.plot, story.record.ending), story)
        if len(found) == wanted:
            return list(found.values())


EACH = {language: one_of_each(language) for language in LANGUAGES}


def mentions(story, language):
    [reading] = _Reader(story.text, language).whole
    return reading.plot, reading.mentions


def swapped(story, mention, plot, language, rng):
    """The story with another filler of the same kind at one mention."""
    kind = plot.slots[mention.slot.name]
    others = [
        word
        for word in fillers(kind)
        if word not in mention.fillers and word not in story.record.facts.values()
    ]
    if not others:  # a pronoun or measure word that all fillers share
        return None
    text = fillers(kind)[rng.choice(others)][language][mention.slot.form]
    end = mention.start + len(mention.text)
    return story.text[: mention.start] + text + story.text[end:]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_story_is_accepted(language):
    for story in EACH[language]:
        assert check_story(story.text, language=language) == []
        assert check_story(f"  {story.text}\n", language=language) == []
        assert continuation_errors(story, story.text, language=language) == []
        assert continuation_errors(story.record, story.text, language=language) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_mention_that_is_swapped_is_found(language):
    """A name, a colour, a place, a thing or a number, at any place where it stands."""
    rng = random.Random(0)
    aspects = set()
    for story in EACH[language][:: 2 if language == "en" else 5]:
        plot, found = mentions(story, language)
        for mention in found:
            bad = swapped(story, mention, plot, language, rng)
            if bad is None or bad == story.text:
                continue
            errors = check_story(bad, language=language)
            assert errors, (mention, bad)
            if len(mention.fillers) == 1:
                what = aspect(mention.slot.name)
                aspects.add(what)
                assert any(error.startswith(f"{what}: ") for error in errors), (errors, bad)
    assert aspects == set(ASPECTS)


def test_a_wrong_pronoun_is_found():
    count = 0
    for story in EACH["en"]:
        for one, other in ((" he ", " she "), (" she ", " he "), (" his ", " her ")):
            if one in story.text:
                errors = check_story(story.text.replace(one, other, 1))
                assert errors, story.text
                count += any(error.startswith("who: ") for error in errors)
    assert count > 10


def test_two_people_of_one_name_are_found():
    story = next(s for s in EACH["en"] if s.record.hero and s.record.friend)
    bad = story.text.replace(story.record.friend, story.record.hero)
    assert any("are both" in error or "is" in error for error in check_story(bad))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_story_without_its_ending_is_found(language):
    stop = ". " if language == "en" else "。"
    for story in EACH[language]:
        cut = story.text[: story.text.rstrip(stop).rindex(stop) + 1]
        errors = check_story(cut, language=language)
        assert len(errors) == 1
        assert "stops before its ending" in errors[0] or "not a story" in errors[0]
        assert check_story(cut, language=language, complete=False) == []


def test_every_beginning_is_a_beginning():
    for story in EACH["en"][::15]:
        for end in range(1, len(story.text) + 1, 7):
            assert check_story(story.text[:end], complete=False) == [], story.text[:end]


def test_words_that_are_not_of_the_world_are_found():
    rng = random.Random(1)
    for story in EACH["en"]:
        words = story.text.split()
        place = rng.randrange(len(words))
        for changed in (
            [*words[:place], "spaceship", *words[place + 1 :]],
            [*words[:place], "spaceship", *words[place:]],
            [*words, "spaceship"],
        ):
            bad = " ".join(changed)
            assert check_story(bad), bad


def test_more_text_or_other_sentences_are_found():
    one, two = EACH["en"][:2]
    assert "the end of the story" in check_story(f"{one.text} {two.text}")[0]
    assert "not a story of this world" in check_story("Once upon a time there was a king.")[0]
    assert check_story("") != []
    sentences = one.text.split(". ")
    assert check_story(". ".join([*sentences[1:], sentences[0]]))


@given(st.text(max_size=80))
def test_any_text_is_read_without_failing(text):
    assert check_story(text) != []
    assert log_probability(text) == float("-inf")
    with pytest.raises(ValueError, match=r"."):
        read_story(text)


@settings(max_examples=30)
@given(st.integers(0, 2**40), st.sampled_from(LANGUAGES), st.data())
def test_any_seed_gives_stories_that_can_be_read_and_continued(seed, language, data):
    [story] = generate_stories(1, seed=seed, language=language)
    assert read_story(story.text, language=language).record == story.record
    cut = data.draw(st.integers(0, len(story.text)))
    prompt, rest = story.text[:cut], story.text[cut:]
    assert continuation_errors(prompt, rest, language=language) == []
    assert continuation_errors(prompt, story.text, language=language) == []


def test_a_record_binds_every_fact():
    stories = [s for s in generate_stories(1500, seed=2) if s.record.plot == "the lost thing"]
    one, *others = stories
    names = set()
    for other in others:
        errors = continuation_errors(one, other.text)
        assert errors
        names |= {error.split(":")[0] for error in errors}
    assert {"who", "what", "colour", "where", "ending"} <= names
    far = next(s for s in generate_stories(50) if s.record.plot != one.record.plot)
    assert continuation_errors(one.record, far.text) == [
        f"plot: {far.record.plot!r} in place of {one.record.plot!r}"
    ]


def test_every_fact_has_an_aspect():
    assert [aspect(fact) in ASPECTS for fact in FACTS] == [True] * len(FACTS)


def test_unknown_languages_are_refused():
    with pytest.raises(ValueError, match="'fr' is not one of"):
        check_story("Bonjour.", language="fr")
