"""Descriptions of the island: true of what they name, silent about names, in other words."""

import re

import pytest

from llmlib.data import describe_articles, make_island
from llmlib.data.island import COLOURS, DISHES, INSTRUMENTS, JOBS, MONTHS, PRODUCTS, ROCKS, USES
from llmlib.data.island_descriptions import TEMPLATES, WORDINGS


@pytest.fixture(scope="module")
def island():
    return make_island(seed=11, split="test")


def test_every_closed_value_has_wordings_of_its_own():
    values = {*COLOURS, *DISHES, *INSTRUMENTS, *JOBS, *MONTHS, *PRODUCTS, *ROCKS, *USES}
    assert set(WORDINGS) == values
    every = [wording for wordings in WORDINGS.values() for wording in wordings]
    assert len(set(every)) == len(every)  # none means two things
    assert all(len(wordings) == 3 for wordings in WORDINGS.values())
    for value, wordings in WORDINGS.items():
        for wording in wordings:
            assert not set(value.lower().split()) & set(re.findall(r"\w+", wording.lower()))


@pytest.mark.parametrize("heard", [True, False])
def test_descriptions_are_true_of_exactly_the_articles_they_list(island, heard):
    values = {
        article.title: {fact.relation: fact.value for fact in article.facts}
        for article in island.articles
    }
    for described in describe_articles(island, heard=heard, seed=2):
        relations = TEMPLATES[described.kind][0]
        allowed = slice(0, 2) if heard else slice(2, 3)
        of_kind = [a.title for a in island.articles if a.kind == described.kind]
        true = [
            title
            for title in of_kind
            if all(
                any(w in described.question for w in WORDINGS[values[title][relation]][allowed])
                for relation in relations
            )
        ]
        assert described.article in described.articles
        assert sorted(true) == sorted(described.articles)


def test_no_description_names_anything(island):
    names = {a.title.lower() for a in island.articles}
    for described in describe_articles(island):
        assert not names & set(re.findall(r"\w+", described.question.lower()))


def test_seeds_choose_wordings_and_nothing_else(island):
    first, again, other = (describe_articles(island, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert [d.question for d in first] != [d.question for d in other]
    assert [d.articles for d in first] == [d.articles for d in other]
