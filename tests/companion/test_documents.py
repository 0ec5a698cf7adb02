"""What the companion reads: packed, complete, the same for the same number."""

import re

import pytest
import torch

from llmlib.companion import read_recipe
from llmlib.companion.documents import ABOUT_ISLANDS, END, TALK, DocumentBatches
from llmlib.companion.stage import folder_of
from llmlib.data.stories import questions, read_story, split_of
from llmlib.tokenizers import BPETokenizer

HALF = {"stories": 0.5, "copying": 0.5}


def make(tokenizer, mixture=HALF, **options):
    return DocumentBatches(tokenizer, mixture, **({"documents": 12, "length": 512} | options))


def test_a_batch_depends_on_its_number_and_seed_only(tokenizer):
    one, two = make(tokenizer), make(tokenizer)
    batches = [one.batch(number) for number in (0, 1, 2)]
    for number in (2, 0, 1):
        again = two.batch(number)
        for name in ("ids", "targets", "documents"):
            assert torch.equal(getattr(batches[number], name), getattr(again, name))
    assert not torch.equal(batches[0].ids, batches[1].ids)
    assert not torch.equal(batches[0].ids, make(tokenizer, seed=1).batch(0).ids)


def test_every_row_holds_whole_documents(tokenizer):
    end = tokenizer.special_tokens[END]
    batch = make(tokenizer, {"stories": 1.0}).batch(3)
    assert batch.ids.shape == batch.targets.shape == batch.documents.shape
    assert batch.ids.shape[1] == 512
    assert set(batch.documents.flatten().tolist()) == set(range(-1, 12))  # nothing is left out
    large = make(tokenizer, {"stories": 1.0}, documents=64).batch(0)
    assert (large.documents >= 0).float().mean() > 0.75
    for ids, targets, numbers in zip(batch.ids, batch.targets, batch.documents, strict=True):
        for number in set(numbers.tolist()) - {-1}:
            own = numbers == number
            document = ids[own].tolist()
            learned = targets[own].tolist()
            assert document[0] == end
            assert end not in document[1:-1]
            following = learned[: len(document) - 1]
            assert following == document[1:]  # each token learns the next of its own document
            last = learned[len(document) - 1]
            story = document[1:] if document[-1] == end else [*document[1:], last]
            assert story[-1] == end
            text = tokenizer.decode(story[:-1])
            assert split_of(read_story(text).record) == "train"
        assert (targets[numbers == -1] == -100).all()


def test_only_the_second_copy_is_learned(tokenizer):
    end = tokenizer.special_tokens[END]
    batch = make(tokenizer, {"copying": 1.0}).batch(0)
    for number in range(12):
        own = batch.documents == number
        ids, learned = batch.ids[own].tolist(), batch.targets[own].tolist()
        whole = [*ids, learned[-1]] if ids[-1] != end else ids
        segment = (len(whole) - 2) // 2
        assert whole[1 : 1 + segment] == whole[1 + segment : -1]
        assert learned[:segment] == [-100] * segment
        assert learned[segment : 2 * segment] == whole[1 + segment : -1]


def test_shares_are_those_of_the_mixture(tokenizer):
    source = make(tokenizer, {"stories": 0.8, "copying": 0.2}, documents=10)
    drawn = [source.documents(number) for number in range(100)]
    assert {sum(map(len, kinds.values())) for kinds in drawn} == {10}
    share = sum(len(kinds["copying"]) for kinds in drawn) / 1000
    assert share == pytest.approx(0.2, abs=0.05)


def test_copies_come_first_where_asked(tokenizer):
    source = make(tokenizer, {"stories": 1.0}, copying_first=2)
    assert [list(source.documents(number)) for number in range(3)] == [
        ["copying"],
        ["copying"],
        ["stories"],
    ]


def test_splits_do_not_meet(tokenizer):
    for split in ("validation", "test"):
        source = make(tokenizer, {"stories": 1.0}, documents=1, split=split)
        text = tokenizer.decode(source.documents(0)["stories"][0].ids[1:-1])
        assert split_of(read_story(text).record) == split


@pytest.mark.parametrize(
    ("mixture", "named"),
    [
        ({"poems": 1.0}, r"\['poems'\].*'copying', 'questions', 'stories'"),
        ({"stories": 0.7}, "sum to 0.7"),
    ],
)
def test_mixtures_that_cannot_be(tokenizer, mixture, named):
    with pytest.raises(ValueError, match=named):
        make(tokenizer, mixture)


def drawn(tokenizer, kind):
    source = make(tokenizer, {kind: 1.0}, split="test")
    for document in source.documents(0)[kind]:
        given, learned = (
            tokenizer.decode(part)
            for part in (
                document.ids[1 : document.learned_from],
                document.ids[document.learned_from : -1],
            )
        )
        yield given, learned


def asked(text):
    lines = text[text.index("Question: ") :].split("\n")
    assert all(line.startswith("Question: ") for line in lines[::2])
    assert all(line.startswith("Answer: ") for line in lines[1::2])
    return [
        (question.removeprefix("Question: "), answer.removeprefix("Answer: "))
        for question, answer in zip(lines[::2], lines[1::2], strict=True)
    ]


def test_questions_are_those_of_the_story(tokenizer):
    for given, learned in drawn(tokenizer, "questions"):
        assert given == ""
        first, text, *_ = learned.split("\n")
        assert first == "Read and answer."  # so that no other story goes on with questions
        story = read_story(text)
        known = {(each.question, each.answer) for each in questions(story)}
        assert set(asked(learned)) <= known


def test_answers_about_an_island_stand_in_its_articles(tokenizer):
    for given, learned in drawn(tokenizer, "articles"):
        assert learned.startswith("\nQuestion: ")
        assert all(answer in given for _, answer in asked(learned))


def test_sums_are_right(tokenizer):
    for given, learned in drawn(tokenizer, "arithmetic"):
        assert given == ""
        for question, answer in asked(learned):
            a, b = (int(number) for number in re.findall(r"\d+", question))
            assert int(answer) in (a + b, abs(a - b), a * b)


def test_what_a_story_mentions_again_weighs_more(tokenizer):
    batch = make(tokenizer, {"stories": 1.0}, mention_weight=3.0).batch(0)
    assert set(batch.weights.unique().tolist()) == {1.0, 3.0}
    for number in range(12):
        own = batch.documents == number
        weighed = [
            token
            for token, more in zip(batch.targets[own], batch.weights[own] == 3, strict=True)
            if more
        ]
        assert weighed
        end = tokenizer.special_tokens[END]
        tokens = [token for token in batch.ids[own].tolist() if token != end]
        record = read_story(tokenizer.decode(tokens)).record
        known = " ".join([*record.facts.values(), "she her he his him"]).lower()
        pieces = [tokenizer.decode([int(token)]).strip(' "').lower() for token in weighed]
        assert all(piece in known for piece in pieces)
    first = batch.documents == 0
    assert batch.weights[first][:2].tolist() == [1.0, 1.0]  # nothing has been mentioned yet
    assert make(tokenizer, {"stories": 1.0}).batch(0).weights is None


@pytest.fixture(scope="module")
def shipped():
    return BPETokenizer.load(folder_of("base") / "tokenizer.json")


@pytest.mark.parametrize("kind", TALK)
def test_a_conversation_is_read_as_plain_lines(shipped, kind):
    tokenizer, length = shipped, read_recipe("midtraining").data["length"]
    source = make(tokenizer, {f"talk: {kind}": 1.0}, documents=40, split="test")
    for document in source.documents(0)[f"talk: {kind}"]:
        assert len(document.ids) <= length + 1
        assert not set(document.ids[1:-1]) & set(tokenizer.special_tokens.values())
        words = [tokenizer.decode([i]) for i in document.ids]
        answers = "".join(words[place] for place in sorted(document.mentions))
        assert document.learned[0] is False
        assert all(document.learned[place] for place in document.mentions)
        if kind in ABOUT_ISLANDS:  # invented names are learned where they answer, and nowhere else
            assert {i for i, one in enumerate(document.learned) if one} == {
                *document.mentions,
                len(document.ids) - 1,
            }
        elif kind == "arithmetic":
            assert re.fullmatch(r"(\n\d+)+", answers)
        else:
            assert all(document.learned[1:])
            assert document.mentions


def test_the_people_and_things_of_a_story_on_demand_weigh_more(tokenizer):
    [document] = make(tokenizer, {"talk: instruction": 1.0}, documents=1).documents(1).values()
    text = tokenizer.decode(document[0].ids[1:-1])
    record = read_story(text.split("\n")[1]).record
    weighed = "".join(tokenizer.decode([document[0].ids[i]]) for i in sorted(document[0].mentions))
    assert all(word in weighed for value in record.facts.values() for word in value.split())
