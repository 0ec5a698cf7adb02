"""The invented island: names of its own, facts that agree with the text, exact answers."""

import re

import pytest

from llmlib.data import make_island
from llmlib.data.island import RELATIONS, SHARES, island_name_split

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def island():
    return make_island(seed=7)


def test_an_island_has_a_hundred_entities_with_names_of_their_own(island):
    titles = [article.title for article in island.articles]
    assert len(titles) == len(set(titles)) == 120
    assert island.name not in titles
    assert {article.kind for article in island.articles} == set(SHARES)
    assert make_island(seed=7) == island
    assert make_island(seed=8).name != island.name


def test_names_of_different_splits_never_meet():
    names = {}
    for split in SPLITS:
        islands = [make_island(seed=seed, split=split) for seed in range(6)]
        names[split] = {article.title for made in islands for article in made.articles}
        assert {island_name_split(name) for name in names[split]} == {split}
        assert all(island_name_split(made.name) == split for made in islands)
    assert not names["train"] & (names["validation"] | names["test"])
    assert not names["validation"] & names["test"]


def test_every_fact_stands_in_its_article(island):
    for article in island.articles:
        assert {fact.relation for fact in article.facts} == set(RELATIONS[article.kind])
        for fact in article.facts:
            assert fact.subject == article.title
            assert re.search(rf"\b{re.escape(fact.value)}\b", article.text)
        assert article.title in article.text
        assert f"## {article.title}\n\n{article.text}" in island.text


def test_names_in_articles_are_names_of_the_island(island):
    known = {article.title for article in island.articles}
    for fact in island.facts:
        source = RELATIONS[fact.kind][fact.relation][0]
        if isinstance(source, str):
            assert fact.value in known
            assert island.article(fact.value).kind == source.rstrip("!")
        elif isinstance(source, range) and fact.relation != "birth":
            assert int(fact.value) in source
        elif isinstance(source, tuple):
            assert fact.value in source


def test_every_question_has_one_answer(island):
    asked = {}
    for question in island.questions():
        asked.setdefault(question.question, set()).add(question.answer)
        text = island.article(question.article).text
        assert question.answer in text
        assert question.question.endswith("?")
    assert len(asked) > 600
    assert all(len(answers) == 1 for answers in asked.values())


def test_questions_cannot_be_answered_without_the_article(island):
    """The most frequent answer to each kind of question is right for few."""
    answers = {}
    for question in island.questions():
        answers.setdefault((question.fact.kind, question.fact.relation), []).append(question.answer)
    right = sum(max(map(found.count, found)) for found in answers.values())
    assert right / sum(map(len, answers.values())) < 0.25


def test_founders_are_born_before_their_village(island):
    born = {f.subject: int(f.value) for f in island.facts if f.relation == "birth"}
    built = {f.subject: int(f.value) for f in island.facts if f.relation == "year"}
    for fact in island.facts:
        if fact.relation == "founder":
            assert 20 <= built[fact.subject] - born[fact.value] <= 60


@pytest.mark.parametrize("size", [20, 60, 240])
def test_other_sizes(size):
    assert len(make_island(seed=1, size=size).articles) == size


def test_wrong_arguments(island):
    with pytest.raises(ValueError, match="size 5"):
        make_island(size=5)
    with pytest.raises(ValueError, match="'dev'"):
        make_island(split="dev")
    with pytest.raises(KeyError, match="no article 'London'"):
        island.article("London")
