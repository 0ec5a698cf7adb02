"""Is a conversation as it should be? Read from its words alone, without how it was made."""

from __future__ import annotations

import json
import re
from itertools import permutations

from ..arithmetic import evaluate
from ..island import RELATIONS
from ..stories import Question, Story, questions, read_story
from .about_stories import FORMS, FORMS_OF_TWO
from .conversation import NOT_KNOWN, REFUSED, Conversation, Turn, reply_errors

__all__ = ["conversation_errors"]

#: Who may speak after whom; None stands for the beginning.
FOLLOWS = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant",),
}


def conversation_errors(conversation: Conversation) -> list[str]:
    """List what is wrong with a conversation: who speaks when, and the first wrong reply.

    Stories are read back; answers are looked up in the story or passages; sums are computed.

    Examples
    --------
    >>> from llmlib.data.conversations import draw_conversations
    >>> conversation_errors(next(draw_conversations("passages", 1, seed=1)))
    []
    """
    turns, errors = conversation.turns, []
    before: str | None = None
    for number, turn in enumerate(turns):
        if turn.role not in FOLLOWS[before]:
            errors.append(f"turn {number} is of the {turn.role}, after {before}")
        before = turn.role
    if before != "assistant":
        errors.append(f"the last turn is of the {before}")
    for number in conversation.replies:
        if errors:
            break  # what follows rests on what was wrong
        turn = turns[number]
        errors += [f"turn {number}: {error}" for error in reply_errors(turn, turn.content)]
        right = _right(conversation, number)
        if right is not None and turn.content not in right:
            errors.append(f"turn {number}: {turn.content!r}, not {' or '.join(sorted(right))!r}")
    return errors


def _right(conversation: Conversation, number: int) -> set[str] | None:
    """What may be said here; None where only :func:`reply_errors` can tell."""
    turns = conversation.turns
    turn, asked = turns[number], turns[number - 1].content
    if turn.measure in ("instruction", "tool call"):
        return None
    if turn.measure == "refusal":
        return {REFUSED}
    if turn.measure == "arithmetic":
        earlier = turns[number - 2].content if number > 1 else "0"
        return {_sum(asked, earlier)}
    if turn.measure in ("passages", "passages unknown"):
        given = [one.content for one in turns[:number] if one.content.startswith("[1] ")]
        return _from_passages(given[-1].rsplit("\n", 1)[0] + "\n" + asked.split("\n")[-1])
    if turn.measure == "tool answer":
        result, call = asked, json.loads(turns[number - 2].content)
        return {turn.content} if call["name"] == "search" and turn.content in result else {result}
    if conversation.kind == "closed book":
        return {NOT_KNOWN}
    story = _story_above(turns[:number])
    question = asked.replace(story.text, "")
    known = [one for one in questions(story) if one.question in question]
    if turn.measure == "format":
        wish = turns[0].content if turns[0].role == "system" else question
        return _in_form(wish, known)
    return {one.answer for one in known} or {NOT_KNOWN}


def _in_form(wish: str, known: list[Question]) -> set[str]:
    """The answers in the form that is asked for."""
    for wordings, write in FORMS.values():
        if any(wording in wish for wording in wordings):
            return {write(one.answer) for one in known}
    right = set()
    for one, two in permutations(known, 2):
        for wordings, write in FORMS_OF_TWO.values():
            if any(
                f"{one.question} {two.question} {w}".format(one.kind, two.kind) in wish
                for w in wordings
            ):
                right.add(write(one.answer, two.answer))
    return right


def _story_above(turns: tuple[Turn, ...]) -> Story:
    """The last story that was given or written."""
    for turn in reversed(turns):
        for line in reversed(turn.content.split("\n")):
            starts = [0, *(m.end() for m in re.finditer(r"[.?:] ", line))]
            for start in starts[:4]:  # something may stand before the story
                try:
                    return read_story(line[start:].strip())
                except ValueError:
                    continue
    raise ValueError("there is no story above")


def _sum(asked: str, earlier: str) -> str:
    numbers = [int(number) for number in re.findall(r"\d+", asked)]
    minus = re.search(r"(-|minus|away|less)", asked) is not None
    if len(numbers) == 1:
        numbers.insert(0, int(earlier))
    elif "away from" in asked:
        numbers.reverse()
    return str(evaluate(numbers[0], "-" if minus else "+", numbers[1]))


def _from_passages(asked: str) -> set[str]:
    """The answers that the passages have to the question, each with its number."""
    *listed, last = asked.split("\n")
    question = last.removeprefix("Question: ")
    found = set()
    for line in listed:
        number, text = re.fullmatch(r"\[(\d)\] (.*)", line).groups()
        kind, subject, facts = _read_passage(text)
        for relation, value in facts.items():
            _, _, forwards, backwards = RELATIONS[kind][relation]
            if question in [wording.format(s=subject) for wording in forwards]:
                found.add(f"{value} [{number}]")
            if question == backwards.format(v=value):
                found.add(f"{subject} [{number}]")
    return found or {NOT_KNOWN}


def _read_passage(text: str) -> tuple[str, str, dict[str, str]]:
    """Kind and name of what a passage is about, and the facts that it states."""
    sentences = re.findall(r"[^.]+\.", text)
    for kind, relations in RELATIONS.items():
        opening = next(iter(relations.values()))[1]
        subjects = [match["s"] for w in opening if (match := _matched(w, sentences[0]))]
        if not subjects:
            continue
        facts = {}
        for relation, (_, wordings, *_) in relations.items():
            for wording in (wording.replace("{s}", subjects[0]) for wording in wordings):
                for sentence in sentences:
                    if match := _matched(wording, sentence):
                        facts[relation] = match["v"]
        return kind, subjects[0], facts
    raise ValueError(f"no passage of an island begins like {sentences[0]!r}")


def _matched(wording: str, sentence: str) -> re.Match[str] | None:
    pattern = re.escape(wording).replace(r"\{s\}", "(?P<s>[A-Z][a-z]+)")
    return re.fullmatch(pattern.replace(r"\{v\}", "(?P<v>.+)"), sentence.strip())
