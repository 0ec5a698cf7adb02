"""Preferences: the taste is what it says, comparisons are as noisy as Bradley and Terry say."""

import itertools
import math
import random
from collections import Counter

import pytest

from llmlib.data.preferences import (
    PAIR_KINDS,
    SMALLEST_GAP,
    flawed_utility,
    merits,
    preference_pairs,
    stories_following,
    utility,
)
from llmlib.data.spoiling import spoil
from llmlib.data.stories import (
    Instruction,
    check_story,
    generate_stories,
    instruction_errors,
    instructions,
    read_story,
    split_of,
    tell,
)

PAIRS = list(preference_pairs(1200, seed=5))


def test_the_utility_is_the_formula():
    for story in generate_stories(40, seed=2):
        for task in instructions(story):
            words = story.text.split()
            end = set(" ".join(words[-20:]).lower().replace(".", " ").replace(",", " ").split())
            found = merits(task, story.text)
            assert found.share == 1
            assert found.speeches == sum(part != "" for part in story.text.split('"')[1::2])
            if end & {"laughed", "smiled", "glad"}:
                assert found.cheerful_end
            expected = 2 + min(found.speeches, 8) + 2 * found.cheerful_end
            expected -= 0.05 * max(0, len(words) - 80)
            assert utility(task, story.text) == pytest.approx(expected)


def test_what_lowers_the_utility():
    story = next(generate_stories(1, seed=1))
    task = instructions(story)[2]
    whole = utility(task, story.text)
    two_missing = Instruction(
        prompt="", response="", wanted=(task.wanted[0], "a whale", "an iceberg")
    )
    assert utility(two_missing, story.text) == pytest.approx(whole / 3)
    assert utility(task, story.text[:-20]) == 0
    assert utility(task, "") == 0
    assert utility(task, story.text + ' "Yes!" "Yes!"') == 0
    assert (
        flawed_utility(task, story.text + ' "Yes!" "Yes!"') == flawed_utility(task, story.text) + 2
    )


def test_the_flawed_reward_goes_with_the_utility_on_stories():
    points = [
        (utility(t, s.text), flawed_utility(t, s.text))
        for s in generate_stories(300, seed=4)
        for t in instructions(s)[:1]
    ]
    agree = [
        (a[0] - b[0]) * (a[1] - b[1]) > 0
        for a, b in itertools.pairwise(points)
        if a[1] != b[1] and a[0] != b[0]
    ]
    assert sum(agree) / len(agree) > 0.75


def test_pairs_carry_their_utilities_and_are_apart():
    for pair in PAIRS[:150]:
        assert utility(pair.instruction, pair.chosen) == pytest.approx(pair.utilities[0])
        assert utility(pair.instruction, pair.rejected) == pytest.approx(pair.utilities[1])
    assert all(abs(p.utilities[0] - p.utilities[1]) >= SMALLEST_GAP for p in PAIRS)
    assert set(Counter(pair.kind for pair in PAIRS)) == set(PAIR_KINDS)


def test_flips_are_as_many_as_bradley_and_terry_expect():
    gaps = [abs(pair.utilities[0] - pair.utilities[1]) for pair in PAIRS]
    chances = [1 / (1 + math.exp(gap)) for gap in gaps]
    expected = sum(chances)
    spread = math.sqrt(sum(chance * (1 - chance) for chance in chances))
    found = sum(pair.flipped for pair in PAIRS)
    assert abs(found - expected) < 4 * spread
    assert 0.02 < found / len(PAIRS) < 0.08
    exact = preference_pairs(200, seed=5, sharpness=math.inf)
    assert not any(pair.flipped for pair in exact)
    wild = list(preference_pairs(200, seed=5, sharpness=0.01))
    assert 0.35 < sum(pair.flipped for pair in wild) / 200 < 0.65
    with pytest.raises(ValueError, match="sharpness=0"):
        preference_pairs(1, sharpness=0)


def test_the_same_seed_gives_the_same_pairs_and_splits_share_no_record():
    assert list(preference_pairs(20, seed=5)) == PAIRS[:20]
    assert next(preference_pairs(1, seed=6)) != PAIRS[0]
    for split in ("validation", "test"):
        for pair in preference_pairs(25, seed=5, split=split):
            records = [
                read_story(text).record
                for text in (pair.chosen, pair.rejected)
                if not check_story(text)
            ]
            assert records
            assert {split_of(record) for record in records} == {split}


def test_stories_follow_and_differ_in_plot():
    rng, plots = random.Random(0), Counter()
    for story in generate_stories(15, seed=3, split="test"):
        for task in instructions(story):
            for other in itertools.islice(stories_following(task, rng, "test"), 2):
                assert instruction_errors(task, other.text) == []
                assert split_of(other.record) == "test"
                plots[other.record.plot] += 1
    assert len(plots) > 15


def test_spoiled_stories_are_no_stories():
    rng = random.Random(1)
    longer = 0
    for story in generate_stories(60, seed=8):
        text = spoil(story, rng)
        assert check_story(text)
        longer += len(text) > len(story.text)
    assert 15 < longer < 45  # repeated or talked on, against cut and renamed


def test_telling_a_record():
    for story in generate_stories(40, seed=9):
        again = tell(story.record, seed=3)
        read = read_story(again.text)
        assert read.record == story.record
        assert read.bits == pytest.approx(again.bits)
    with pytest.raises(ValueError, match="no plot"):
        tell(type(story.record)(plot="the flight", ending="home"))
    with pytest.raises(ValueError, match="has the facts"):
        tell(type(story.record)(plot=story.record.plot, ending=story.record.ending))
