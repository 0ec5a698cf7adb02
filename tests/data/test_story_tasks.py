"""Questions and instructions made from stories: right by the record, checkable by program."""

import re

from llmlib.data.stories import (
    check_story,
    forgotten_facts,
    generate_stories,
    instruction_errors,
    instructions,
    questions,
    told_facts,
)
from llmlib.data.stories.plots import plots

STORIES = list(generate_stories(600, seed=31))


def test_every_plot_has_questions_of_several_kinds():
    for plot in plots():
        kinds = {kind for kind, *_ in plot.questions}
        assert "who" in kinds, plot.name
        assert len(kinds) >= 3, plot.name
        endings = {ending for _, ending, *_ in plot.questions} - {None}
        assert endings <= set(plot.endings), plot.name
    everything = [kind for plot in plots() for kind, *_ in plot.questions]
    assert set(everything) == {"who", "what", "where", "colour", "number", "why"}
    assert sum(kind == "why" for kind in everything) >= 40


def test_answers_are_short_and_come_from_the_record():
    for story in STORIES:
        found = questions(story)
        assert len(found) >= 4
        assert len({question.question for question in found}) == len(found)
        for question in found:
            assert question.question[0].isupper()
            assert question.question.endswith("?")
            assert len(question.answer.split()) <= 10
            assert not re.search(r"[{}<>|]", question.question + question.answer)
            if question.kind == "colour":
                assert question.answer in story.record.colours
            if question.kind == "number":
                assert question.answer in (story.record.number, story.record.second_number)


def test_the_answer_stands_in_the_story():
    """Who, where, colour and number can be looked up; so a reader needs only the text."""
    found = sought = 0
    for story in STORIES:
        text = story.text.lower()
        for question in questions(story):
            if question.kind in ("colour", "number"):
                assert question.answer in text
            if question.kind == "who":
                sought += 1
                names = [name.lower() for name in story.record.who]
                found += any(name in question.answer.lower() for name in names)
    assert found == sought


def test_questions_follow_the_ending():
    by_ending = {}
    for story in STORIES:
        if story.record.plot == "the blamed pet":
            who = next(q.answer for q in questions(story) if q.question.startswith("Who ate"))
            expected = (
                story.record.animal if story.record.ending == "innocent" else story.record.pet
            )
            assert who == f"the {expected}"
            by_ending[story.record.ending] = who
    assert len(by_ending) == 2


def test_a_story_follows_its_own_instructions():
    for story in STORIES[:100]:
        tasks = instructions(story)
        assert [len(task.wanted) for task in tasks] == [1, 2, 3]
        for task in tasks:
            assert task.response == story.text
            assert all(value in task.prompt for value in task.wanted)
            assert not re.search(r"\ba [aeiou]", task.prompt)
            assert instruction_errors(task, story.text) == []
        assert instructions(story, 7)[:3] == tasks  # to ask for more changes none of them
        longer = instructions(story, 7)[-1]
        assert len(longer.wanted) >= 3
        assert instruction_errors(longer, story.text) == []
    assert instructions(STORIES[0]) == instructions(STORIES[0])


def test_clear_requests_name_one_of_a_sort_only():
    for story in STORIES[:100]:
        facts = story.record.facts
        seconds = [facts[name] for name in facts if name == "friend" or "second" in name]
        for task in instructions(story, 7, ambiguous=False):
            assert not set(task.wanted) & set(seconds)
            assert instruction_errors(task, story.text) == []
    named = {value for s in STORIES[:100] for task in instructions(s, 7) for value in task.wanted}
    assert any(story.record.facts.get("friend") in named for story in STORIES[:100])


def test_a_story_without_what_was_asked_for_does_not_follow():
    one = STORIES[0]
    task = instructions(one)[2]
    other = next(s for s in STORIES if not set(task.wanted) & set(s.record.facts.values()))
    assert len(instruction_errors(task, other.text)) == 3
    assert "stops before its ending" in instruction_errors(task, one.text[:150])[0]


def test_a_story_that_contradicts_itself_still_has_what_was_asked_for():
    one = next(s for s in STORIES if {"hero", "friend"} <= s.record.facts.keys())
    hero, friend = one.record.facts["hero"], one.record.facts["friend"]
    torn = one.text.replace(friend, hero)
    assert check_story(torn)
    assert forgotten_facts((hero,), torn) == []
    assert forgotten_facts((hero, friend), torn) == [friend]
    assert forgotten_facts((hero,), one.text[:150]) == [hero]  # no whole telling
    for story in STORIES[:50]:
        assert told_facts(story.text) == story.record.facts
