"""Conversations: every reply is right, every split keeps to itself, mistakes are noticed."""

import json
from dataclasses import replace

import pytest

from llmlib.data.conversations import (
    KINDS,
    NOT_KNOWN,
    conversation_errors,
    draw_conversations,
    reply_errors,
)
from llmlib.data.island import island_name_split
from llmlib.data.stories import read_story, split_of


def drawn(kind, count=60, **options):
    return list(draw_conversations(kind, count, **({"seed": 5} | options)))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wrong_with_any(kind, split):
    for conversation in drawn(kind, 25, split=split):
        assert conversation_errors(conversation) == []
        assert conversation.kind == kind
        assert all(conversation.turns[i].measure for i in conversation.replies)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_again(kind):
    assert drawn(kind, 8) == drawn(kind, 8) != drawn(kind, 8, seed=6)


@pytest.mark.parametrize("kind", KINDS)
def test_further_questions_are_about_the_same_text(kind):
    few, many = drawn(kind), drawn(kind, further=4)
    for conversation in many:
        assert conversation_errors(conversation) == []
    more = sum(len(one.replies) for one in many) > 1.2 * sum(len(one.replies) for one in few)
    assert more == (kind in ("instruction", "question", "passages"))


def test_a_request_names_as_many_facts_as_it_may():
    for most in (3, 6):
        sizes = {
            len(turn.wanted)
            for one in drawn("instruction", facts=most)
            for turn in one.turns
            if turn.wanted
        }
        assert sizes == set(range(1, most + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_another_reply_is_noticed(kind):
    for conversation in drawn(kind, 12):
        for number in conversation.replies:
            turn = conversation.turns[number]
            wrong = NOT_KNOWN if turn.content != NOT_KNOWN else "Greta"
            assert reply_errors(turn, wrong)
            assert reply_errors(turn, turn.content + " x")
            assert reply_errors(turn, f" {turn.content}\n") == []
            if turn.measure != "tool call":  # a wrong call is known by its turn alone
                turns = list(conversation.turns)
                turns[number] = replace(turn, content=wrong)
                assert conversation_errors(replace(conversation, turns=tuple(turns)))


def test_who_may_speak_when():
    [one] = drawn("arithmetic", 1)
    backwards = replace(one, turns=one.turns[::-1])
    assert "turn 0 is of the assistant, after None" in conversation_errors(backwards)
    cut = replace(one, turns=one.turns[:-1])
    assert "the last turn is of the user" in conversation_errors(cut)


def test_stories_written_belong_to_the_split():
    for split in ("train", "test"):
        for conversation in drawn("instruction", 30, split=split):
            for turn in conversation.turns:
                if turn.measure == "instruction":
                    assert split_of(read_story(turn.content).record) == split


def test_names_asked_for_belong_to_the_split():
    for split in ("train", "validation", "test"):
        for conversation in drawn("tools", split=split):
            for number in conversation.replies:
                turn = conversation.turns[number]
                if turn.measure == "tool call":
                    arguments = json.loads(turn.content)["arguments"]
                    if "query" in arguments:
                        assert island_name_split(arguments["query"]) == split


def test_requests_to_refuse_are_in_one_split_only():
    asked = {
        split: {c.turns[-2].content for c in drawn("refusal", 600, split=split)}
        for split in ("train", "validation", "test")
    }
    assert all(len(requests) > 100 for requests in asked.values())
    assert not asked["train"] & asked["test"] | asked["validation"] & asked["test"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_right_passage_stands_anywhere(count):
    places = [
        turn.content[-2]
        for conversation in drawn("passages", 300)
        for before, turn in zip(conversation.turns, conversation.turns[1:], strict=False)
        if turn.measure == "passages" and before.content.count("\n") == count
    ]
    assert set(places) == set("123"[:count])
    assert min(map(places.count, places)) > 0.5 * len(places) / count


def test_some_questions_cannot_be_answered():
    for kind, measure in (("passages", "passages unknown"), ("question", "unknown")):
        replies = [c.turns[i] for c in drawn(kind, 300) for i in c.replies]
        share = sum(turn.measure == measure for turn in replies) / len(replies)
        assert 0.1 < share < 0.4
        assert all((turn.measure == measure) == (turn.content == NOT_KNOWN) for turn in replies)


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"'poems'.*'arithmetic'"):
        draw_conversations("poems", 1)
    with pytest.raises(ValueError, match="'dev'"):
        draw_conversations("refusal", 1, split="dev")
