"""Exercises of the chapter on tools and agents."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from torch import Generator

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]

#: The two letters that the automata of the exercises read.
LETTERS = "ab"


# --- read_turn ----------------------------------------------------------------------------------


def _read_turn(text: str, tools: list[str]) -> tuple[str, Any]:
    if not text.startswith("{"):
        return "answer", text
    try:
        call = json.loads(text)
    except json.JSONDecodeError:
        return "error", None
    if set(call) != {"name", "arguments"} or call["name"] not in tools:
        return "error", None
    return "call", call["name"]


def _trusts_json(text: str, tools: list[str]) -> tuple[str, Any]:
    if not text.startswith("{"):
        return "answer", text
    try:
        return "call", json.loads(text).get("name")
    except json.JSONDecodeError:
        return "error", None


def _broken_is_answer(text: str, tools: list[str]) -> tuple[str, Any]:
    try:
        call = json.loads(text)
    except json.JSONDecodeError:
        return "answer", text
    if not isinstance(call, dict):
        return "answer", text
    ok = set(call) == {"name", "arguments"} and call["name"] in tools
    return ("call", call["name"]) if ok else ("error", None)


def _any_tool(text: str, tools: list[str]) -> tuple[str, Any]:
    kind, name = _read_turn(text, [*tools, "shell"])
    return kind, name


def _turn(g: Generator) -> tuple[str, list[str]]:
    number = draw.integer(g, 1, 99)
    good = json.dumps({"name": "calculator", "arguments": {"expression": f"{number} + 1"}})
    unknown = json.dumps({"name": "shell", "arguments": {"command": f"echo {number}"}})
    unnamed = json.dumps({"arguments": {"expression": f"{number}"}})
    texts = (good, good[: draw.integer(g, 5, len(good) - 1)], unknown, unnamed, str(number))
    return texts[draw.integer(g, 0, len(texts) - 1)], ["calculator", "search"]


# --- allowed ------------------------------------------------------------------------------------


def _steps(table: list[list[int]], accepting: list[bool], tokens: list[str]) -> list[float]:
    """Fewest tokens from each state to an accepting one."""
    steps = [0.0 if ok else float("inf") for ok in accepting]
    steps[0] = float("inf")
    for _ in table:
        for state in range(1, len(table)):
            ways = [steps[_read(table, state, token)] + 1 for token in tokens]
            steps[state] = min([steps[state], *ways])
    return steps


def _read(table: list[list[int]], state: int, token: str) -> int:
    for letter in token:
        state = table[state][LETTERS.index(letter)]
    return state


def _allowed(table: list[list[int]], tokens: list[str], state: int) -> list[str]:
    return [token for token in tokens if _read(table, state, token)]


def _first_letter_only(table: list[list[int]], tokens: list[str], state: int) -> list[str]:
    return [token for token in tokens if table[state][LETTERS.index(token[0])]]


def _from_the_start(table: list[list[int]], tokens: list[str], state: int) -> list[str]:
    return _allowed(table, tokens, 1)


def _letters_alone(table: list[list[int]], tokens: list[str], state: int) -> list[str]:
    return [t for t in tokens if all(table[state][LETTERS.index(letter)] for letter in t)]


def _automaton(g: Generator) -> list[list[int]]:
    """A random table over two letters; 0 is dead, a third of the entries lead there."""
    size = draw.integer(g, 4, 6)
    table = [[0, 0]]
    for _ in range(size - 1):
        row = [draw.integer(g, 1, size - 1) * (draw.integer(g, 0, 2) > 0) for _ in LETTERS]
        table.append(row)
    table[1][0] = 2  # something can be read
    return table


def _table_and_tokens(g: Generator) -> tuple[list[list[int]], list[str], int]:
    table = _automaton(g)
    return table, ["a", "b", "ab", "ba", "aab", "bb"], draw.integer(g, 1, len(table) - 1)


# --- fewest_tokens ------------------------------------------------------------------------------


def _fewest(table: list[list[int]], accepting: list[bool], tokens: list[str], state: int) -> int:
    steps = _steps(table, accepting, tokens)[state]
    return -1 if steps == float("inf") else int(steps)


def _fewest_letters(table, accepting, tokens, state):
    return _fewest(table, accepting, list(LETTERS), state)


def _greedy_longest(table, accepting, tokens, state):
    count, seen = 0, set()
    while not accepting[state]:
        if state in seen or not state:
            return -1
        seen.add(state)
        longest = sorted(tokens, key=len, reverse=True)
        state = next((s for s in (_read(table, state, t) for t in longest) if s), 0)
        count += 1
    return count


def _at_least_one(table, accepting, tokens, state):
    steps = _steps(table, accepting, tokens)
    best = min(steps[_read(table, state, token)] for token in tokens) + 1
    return -1 if best == float("inf") else int(best)


def _counts_the_end(table, accepting, tokens, state):
    found = _fewest(table, accepting, tokens, state)
    return found if found < 0 else found + 1


def _with_ends(g: Generator) -> tuple[list[list[int]], list[bool], list[str], int]:
    """A chain of a random length with a way back, so that some distance is several tokens."""
    size = draw.integer(g, 5, 8)
    table = [[0, 0], *([s + 1, 1 if draw.integer(g, 0, 1) else 0] for s in range(1, size - 1))]
    table.append([0, 0])
    accepting = [False] * (size - 1) + [True]
    tokens = ["a", "b", ["aa", "aaa"][draw.integer(g, 0, 1)], "ab"]
    return table, accepting, tokens, draw.integer(g, 1, size - 1)


# --- tokens_read --------------------------------------------------------------------------------


def _tokens_read(question: int, replies: list[int], results: list[int]) -> int:
    total, length = 0, question
    for number, reply in enumerate(replies):
        total += length
        length += reply + (results[number] if number < len(results) else 0)
    return total


def _only_new(question: int, replies: list[int], results: list[int]) -> int:
    return question + sum(results)


def _without_results(question: int, replies: list[int], results: list[int]) -> int:
    return _tokens_read(question, replies, [0] * len(results))


def _without_replies(question: int, replies: list[int], results: list[int]) -> int:
    return _tokens_read(question, [0] * len(replies), results)


def _one_too_many(question: int, replies: list[int], results: list[int]) -> int:
    return _tokens_read(question, [*replies, 0], results)


def _lengths(g: Generator) -> tuple[int, list[int], list[int]]:
    calls = draw.integer(g, 2, 5)
    replies = [draw.integer(g, 5, 40) for _ in range(calls + 1)]
    return draw.integer(g, 20, 200), replies, [draw.integer(g, 10, 300) for _ in range(calls)]


# --- may_run ------------------------------------------------------------------------------------


def _may_run(call: dict, before: list[dict], question: str) -> bool:
    """A query may hold nothing but what the user said, once a stranger's text has been read."""
    if call["name"] != "send" or not any(step["name"] == "search" for step in before):
        return True
    return call["arguments"]["to"] in question


def _never_send(call: dict, before: list[dict], question: str) -> bool:
    return call["name"] != "send"


def _always(call: dict, before: list[dict], question: str) -> bool:
    return True


def _never_after_search(call: dict, before: list[dict], question: str) -> bool:
    return not any(step["name"] == "search" for step in before)


def _only_named(call: dict, before: list[dict], question: str) -> bool:
    return call["name"] != "send" or call["arguments"]["to"] in question


def _situation(g: Generator) -> tuple[dict, list[dict], str]:
    friends, strangers = ("Ada", "Ben", "Cora"), ("Mallory", "Trudy")
    to = (*friends, *strangers)[draw.integer(g, 0, 4)]
    name = ("send", "send", "search", "calculator")[draw.integer(g, 0, 3)]
    key = {"send": "to", "search": "query", "calculator": "expression"}[name]
    question = f"Find the height of the hill and send it to {friends[draw.integer(g, 0, 2)]}."
    before = [{"name": "search"}] * draw.integer(g, 0, 1) + [{"name": "calculator"}]
    return {"name": name, "arguments": {key: to}}, before, question


def _wrong(**answers: tuple[Callable[..., Any], str]) -> dict[str, Wrong]:
    return {name: Wrong(answer, message) for name, (answer, message) in answers.items()}


EXERCISES = (
    Choice(
        name="agents.predict_mask",
        right="b",
        why={
            "a": "It may well be the wrong tool: the mask knows what a call looks like, and "
            "nothing of what the question needs.",
            "b": "Every text that can come out is a call with arguments of the right types. "
            "Whether it is the call that helps is still the model's affair.",
            "c": "At temperature 0 the best of the allowed tokens is taken. A model that wants a "
            "call anyway is not changed at all.",
            "d": "The mask counts the tokens that are left, and near the limit only those stay "
            "that still lead to an end.",
        },
        hint="What does the automaton know of the question?",
    ),
    Exercise(
        name="agents.read_turn",
        reference=_read_turn,
        inputs=_turn,
        cases=30,
        hint="Four things can be wrong with a text that begins with a brace. Two are about JSON.",
        remark="Nothing is done that was not read as a whole, and of a known tool.",
        wrong=_wrong(
            trusts_json=(
                _trusts_json,
                "You believed any JSON. A call needs both fields, and the name of a tool that was "
                "offered.",
            ),
            broken_is_answer=(
                _broken_is_answer,
                "You took a call that was cut off for the answer, and would show it to the user.",
            ),
            any_tool=(_any_tool, "You called a tool that was not offered."),
        ),
    ),
    Exercise(
        name="agents.allowed",
        reference=_allowed,
        inputs=_table_and_tokens,
        hint="Walk through the letters of a token, from row to row of the table.",
        remark="This, for all states and tokens at a time, is the table of TokenConstraint.",
        wrong=_wrong(
            first_letter=(
                _first_letter_only,
                "You looked at the first letter only: a token may die at a later one.",
            ),
            from_start=(_from_the_start, "You began in state 1. The text is in `state` already."),
            letters_alone=(
                _letters_alone,
                "You asked for each letter from the same state. After a letter the state is "
                "another one.",
            ),
        ),
    ),
    Exercise(
        name="agents.fewest_tokens",
        reference=_fewest,
        inputs=_with_ends,
        hint="Breadth first: the states that you reach with one token, then with two.",
        remark="With this number a text ends in time, whatever the limit.",
        wrong=_wrong(
            letters=(_fewest_letters, "You counted letters. A token may bring several at once."),
            greedy=(
                _greedy_longest,
                "You took the longest token each time. It may lead past the end, or away from it.",
            ),
            at_least_one=(
                _at_least_one,
                "In an accepting state the text is complete: no token is needed.",
            ),
            counts_end=(_counts_the_end, "You counted the end token, too."),
        ),
    ),
    Exercise(
        name="agents.tokens_read",
        reference=_tokens_read,
        inputs=_lengths,
        hint="Before its second reply, the model reads the question, its first reply and the "
        "result.",
        remark="It grows with the square of the number of calls, unless a cache keeps what was "
        "read.",
        wrong=_wrong(
            only_new=(
                _only_new,
                "This is what is new in each step. Without a cache everything before is read "
                "again.",
            ),
            no_results=(_without_results, "The results of the tools are read, too."),
            no_replies=(_without_replies, "The model's own turns are read again, too."),
            one_more=(_one_too_many, "After the last reply nothing is read any more."),
        ),
    ),
    Exercise(
        name="agents.may_run",
        reference=_may_run,
        inputs=_situation,
        cases=40,
        hint="Which of the three inputs can a stranger have written?",
        remark="The rule looks at where a value comes from, and not at how the text sounds.",
        wrong=_wrong(
            never=(_never_send, "You refuse what the user asked for. Such a tool is of no use."),
            always=(_always, "You allow everything, also what a page asked for."),
            never_after=(
                _never_after_search,
                "You stop all tools after a search, the calculator too.",
            ),
            only_named=(
                _only_named,
                "Before anything was searched, all the text is the user's: there is nobody to "
                "distrust yet.",
            ),
        ),
    ),
)
