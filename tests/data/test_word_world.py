"""The generated texts: what the gold set says is true of the text itself."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from llmlib.data import chinese_word_world, english_word_world
from llmlib.data.word_world import analogy_questions, chinese, english, graded_pairs

WORLDS = {"en": english_word_world(6000), "zh": chinese_word_world(6000)}


@pytest.fixture(params=list(WORLDS))
def world(request):
    return WORLDS[request.param]


def context_vectors(world, reach=6):
    """How often each word of the gold set stands near each other word."""
    words = sorted({word for sentence in world.sentences for word in sentence})
    number = {word: i for i, word in enumerate(words)}
    counts = np.zeros((len(words), len(words)))
    for sentence in world.sentences:
        for i, j in itertools.permutations(range(len(sentence)), 2):
            if abs(i - j) <= reach:
                counts[number[sentence[i]], number[sentence[j]]] += 1
    counts = np.log1p(counts)
    return number, counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.mark.parametrize("make", [english_word_world, chinese_word_world])
def test_the_seed_fixes_the_text(make):
    assert make(50, seed=3).sentences == make(50, seed=3).sentences
    assert make(50, seed=3).sentences != make(50, seed=4).sentences
    with pytest.raises(ValueError, match="sentences is 0"):
        make(0)


def test_every_gold_word_is_in_the_text_and_no_unseen_word_is(world):
    text = {word for sentence in world.sentences for word in sentence}
    asked = {word for pair in world.similar_pairs for word in pair[:2]}
    asked |= {w for questions in world.analogies.values() for q in questions for w in q}
    assert asked <= text
    assert set(world.groups) <= text
    assert not set(world.unseen) & text


def test_every_content_word_has_one_meaning():
    """A word that stood in two slots would make its gold answers false."""
    things = [
        (singular, plural)
        for broad in english.THINGS.values()
        for _, members in broad.values()
        for singular, (plural, _) in members.items()
    ]
    words = [*itertools.chain.from_iterable(things)]
    words += [w for _, roles in english.PEOPLE.values() for pair in roles for w in pair]
    words += [w for row in english.COUNTRY_TABLE for w in row[:3]]
    words += [w for row in (*english.ADJECTIVE_TABLE, *english.VERB_TABLE) for w in row[:3]]
    words += list(english.OCCUPATIONS)
    assert [word for word, n in Counter(words).items() if n > 1] == []

    own = [
        word
        for broad in english.THINGS.values()
        for _, members in broad.values()
        for _, company in members.values()
        for word in company.split()
    ]
    assert [word for word, n in Counter(own).items() if n > 1] == []
    own_zh = [
        word
        for broad in chinese.THINGS.values()
        for _, members, _ in broad.values()
        for company in members.values()
        for word in company.split()
    ]
    assert [word for word, n in Counter(own_zh).items() if n > 1] == []


def test_grades_follow_the_groups(world):
    grades = Counter(grade for *_, grade in world.similar_pairs)
    assert set(grades) == {0, 1, 2}
    for a, b, grade in world.similar_pairs:
        fine = world.groups[a] == world.groups[b]
        broad = world.groups[a].split("/")[0] == world.groups[b].split("/")[0]
        assert grade == fine + broad


def test_similar_words_keep_similar_company(world):
    """The claim of the gold set, checked on plain counts without any model."""
    number, vectors = context_vectors(world)
    cosines = {0: [], 1: [], 2: []}
    for a, b, grade in world.similar_pairs:
        cosines[grade].append(vectors[number[a]] @ vectors[number[b]])
    mean = {grade: np.mean(values) for grade, values in cosines.items()}
    assert mean[0] + 0.05 < mean[1] < mean[2] - 0.05


def test_pairs_of_an_analogy_differ_in_the_same_way(world):
    """Differences of company are more alike inside a relation than across relations."""
    number, vectors = context_vectors(world)

    def difference(a, b):
        gap = vectors[number[b]] - vectors[number[a]]
        return gap / np.linalg.norm(gap)

    inside, across = [], []
    generator = random.Random(0)
    for relation, questions in world.analogies.items():
        others = [q for name, qs in world.analogies.items() if name != relation for q in qs]
        for a, b, c, d in generator.sample(questions, 30):
            inside.append(difference(a, b) @ difference(c, d))
            across.append(difference(a, b) @ difference(*generator.choice(others)[:2]))
    assert np.mean(inside) > 0.15
    assert abs(np.mean(across)) < 0.1


def test_bias_is_what_the_card_says():
    def share(world, job):
        she = he = 0
        for sentence in world.sentences:
            if job in sentence:
                she += any(word in sentence for word in ("she", "her"))
                he += any(word in sentence for word in ("he", "his", "him"))
        return she / (she + he)

    biased, neutral = english_word_world(20_000), english_word_world(20_000, neutral=True)
    for job, expected in biased.share_female.items():
        assert share(biased, job) == pytest.approx(expected, abs=0.16)
        assert share(neutral, job) == pytest.approx(0.5, abs=0.16)
    assert set(neutral.share_female.values()) == {0.5}
    assert share(biased, "nurse") > 0.8 > 0.2 > share(biased, "carpenter")


def test_articles_fit_the_next_word():
    for sentence in WORLDS["en"].sentences:
        for word, following in itertools.pairwise(sentence):
            if word in ("a", "an"):
                assert (word == "an") == (following[0] in "aeiou")


def test_sentences_end_and_text_has_a_line_for_each(world):
    assert all(sentence[-1] in ".。" for sentence in world.sentences)
    assert [line.split(" ") for line in world.text.splitlines()] == world.sentences


def test_paragraphs_join_sentences_in_order(world):
    paragraphs = world.paragraphs(4)
    assert len(paragraphs) == -(-len(world.sentences) // 4)
    flat = itertools.chain.from_iterable
    assert list(flat(paragraphs)) == list(flat(world.sentences))
    with pytest.raises(ValueError, match="at least 1"):
        world.paragraphs(0)


def test_content_words_are_about_equally_frequent():
    counts = Counter(word for sentence in WORLDS["en"].sentences for word in sentence)
    asked = {w for qs in WORLDS["en"].analogies.values() for q in qs for w in q}
    assert min(counts[word] for word in asked) >= 8
    assert max(counts[word] for word in asked) <= 20 * min(counts[word] for word in asked)


def test_gold_draws_do_not_depend_on_the_order_of_the_groups(world):
    turned = dict(reversed(list(world.groups.items())))
    assert graded_pairs(turned) == graded_pairs(world.groups) == world.similar_pairs


def test_analogy_questions_are_limited_and_never_ask_a_pair_against_itself():
    pairs = [(f"a{i}", f"b{i}") for i in range(20)]
    questions = analogy_questions(pairs, limit=50)
    assert len(questions) == len(set(questions)) == 50
    assert all(q[0] != q[2] and q[0][1:] == q[1][1:] and q[2][1:] == q[3][1:] for q in questions)
