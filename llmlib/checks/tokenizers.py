"""Exercises of the chapter on tokenizers."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Generator

from llmlib.checks import draw
from llmlib.checks.exercise import Choice, Exercise, Wrong

__all__ = ["EXERCISES"]

Pair = tuple[bytes, bytes]
Words = Mapping[tuple[bytes, ...], int]


def _a_word(g: Generator, letters: str, low: int, high: int) -> str:
    length = draw.integer(g, low, high)
    numbers = draw.tokens(g, length, vocab_size=len(letters)).tolist()
    return "".join(letters[number] for number in numbers)


# --- next_merge ---------------------------------------------------------------------------------


def _count_pairs(words: Words) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


def _next_merge(words: Words) -> Pair:
    counts = _count_pairs(words)
    return max(counts, key=lambda pair: (counts[pair], pair))


def _smaller_of_equals(words: Words) -> Pair:
    counts = _count_pairs(words)
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _first_of_equals(words: Words) -> Pair:
    return _count_pairs(words).most_common(1)[0][0]


def _without_word_counts(words: Words) -> Pair:
    return _next_merge(dict.fromkeys(words, 1))


def _across_words(words: Words) -> Pair:
    joined = tuple(token for word, count in words.items() for token in word * count)
    return _next_merge({joined: 1})


def _greatest_pair(words: Words) -> Pair:
    return max(_count_pairs(words))


def _some_words(g: Generator) -> tuple[dict[tuple[bytes, ...], int]]:
    """Few letters, so that ties are frequent; counts from 1 to 4."""
    words = {}
    for _ in range(draw.integer(g, 4, 6)):
        word = _a_word(g, "abcd", 2, 5)
        words[tuple(letter.encode() for letter in word)] = draw.integer(g, 1, 4)
    return (words,)


# --- bpe_encode ---------------------------------------------------------------------------------


def _join(parts: Sequence[bytes], pair: Pair) -> list[bytes]:
    joined: list[bytes] = []
    i = 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == pair:
            joined.append(parts[i] + parts[i + 1])
            i += 2
        else:
            joined.append(parts[i])
            i += 1
    return joined


def _bpe_encode(word: bytes, merges: Sequence[Pair]) -> list[bytes]:
    parts = [bytes([byte]) for byte in word]
    for pair in merges:
        parts = _join(parts, pair)
    return parts


def _longest_first(word: bytes, merges: Sequence[Pair]) -> list[bytes]:
    tokens = {a + b for a, b in merges} | {bytes([byte]) for byte in word}
    parts, start = [], 0
    while start < len(word):
        end = max(e for e in range(start + 1, len(word) + 1) if word[start:e] in tokens)
        parts.append(word[start:end])
        start = end
    return parts


def _once_per_merge(word: bytes, merges: Sequence[Pair]) -> list[bytes]:
    parts = [bytes([byte]) for byte in word]
    for pair in merges:
        for i in range(len(parts) - 1):
            if (parts[i], parts[i + 1]) == pair:
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
                break
    return parts


def _last_learned_first(word: bytes, merges: Sequence[Pair]) -> list[bytes]:
    parts = [bytes([byte]) for byte in word]
    for pair in reversed(merges):
        parts = _join(parts, pair)
    return parts


def _from_the_left(word: bytes, merges: Sequence[Pair]) -> list[bytes]:
    parts: list[bytes] = []
    for byte in word:
        parts.append(bytes([byte]))
        while len(parts) > 1 and (parts[-2], parts[-1]) in merges:
            parts[-2:] = [parts[-2] + parts[-1]]
    return parts


def _word_and_merges(g: Generator) -> tuple[bytes, list[Pair]]:
    """Merges that were learned from words of the same letters, and a word longer than those."""
    words = {tuple(c.encode() for c in _a_word(g, "abc", 4, 8)): 1 for _ in range(12)}
    merges: list[Pair] = []
    for _ in range(8):
        if not _count_pairs(words):
            break
        merges.append(_next_merge(words))
        words = {tuple(_join(word, merges[-1])): n for word, n in words.items()}
    return _a_word(g, "abc", 12, 18).encode(), merges


# --- wordpiece_encode ---------------------------------------------------------------------------


def _wordpiece_encode(word: str, vocab: set[str]) -> list[str]:
    return _greedy(word, vocab)


def _greedy(
    word: str, vocab: set[str], *, mark: str = "##", longest: bool = True, give_up: bool = True
) -> list[str]:
    tokens, start = [], 0
    while start < len(word):
        prefix = mark if start else ""
        fitting = [e for e in range(start + 1, len(word) + 1) if prefix + word[start:e] in vocab]
        if fitting:
            end = max(fitting) if longest else min(fitting)
            tokens.append(prefix + word[start:end])
        elif give_up:
            return ["[UNK]"]
        else:
            end = start + 1
            tokens.append("[UNK]")
        start = end
    return tokens


def _marks_forgotten(word: str, vocab: set[str]) -> list[str]:
    return [token.removeprefix("##") for token in _greedy(word, vocab)]


def _word_and_vocab(g: Generator) -> tuple[str, set[str]]:
    """Every fourth word holds a letter that the vocabulary lacks."""
    letters = "abc"
    vocab = {*letters, *("##" + letter for letter in letters)}
    for _ in range(14):
        piece = _a_word(g, letters, 2, 4)
        vocab |= {piece} if draw.integer(g, 0, 1) else {"##" + piece}
    word = _a_word(g, letters, 6, 12)
    return (word[:3] + "z" + word[3:] if g.initial_seed() % 4 == 3 else word), vocab


# --- show_stream --------------------------------------------------------------------------------

_TEXTS = ("好茶", "tea 🍵 now", "naïve 河 café", "👩‍👧 家", "水 is water", "…“河”…")


def _show_stream(tokens: Sequence[bytes]) -> list[str]:
    waiting = codecs.getincrementaldecoder("utf-8")()
    return [waiting.decode(token) for token in tokens]


def _all_at_the_end(tokens: Sequence[bytes]) -> list[str]:
    return [""] * (len(tokens) - 1) + [b"".join(tokens).decode()]


def _growing(tokens: Sequence[bytes]) -> list[str]:
    shown = _show_stream(tokens)
    return ["".join(shown[: i + 1]) for i in range(len(shown))]


def _whole_tokens_only(tokens: Sequence[bytes]) -> list[str]:
    """Shows what is held only when all of it is complete."""
    shown, held = [], b""
    for token in tokens:
        held += token
        try:
            shown.append(held.decode())
        except UnicodeDecodeError:
            shown.append("")
        else:
            held = b""
    return shown


def _some_tokens(g: Generator) -> tuple[list[bytes]]:
    data = _TEXTS[g.initial_seed() % len(_TEXTS)].encode()
    tokens = []
    while data:
        size = draw.integer(g, 1, 4)
        tokens.append(data[:size])
        data = data[size:]
    return (tokens,)


# --- best_cut -----------------------------------------------------------------------------------


def _best_cut(word: str, scores: Mapping[str, float]) -> list[str]:
    best = [0.0]
    came_from = [0]
    for end in range(1, len(word) + 1):
        options = [
            (best[start] + scores[word[start:end]], start)
            for start in range(end)
            if word[start:end] in scores
        ]
        score, start = max(options)
        best.append(score)
        came_from.append(start)
    pieces, end = [], len(word)
    while end:
        pieces.append(word[came_from[end] : end])
        end = came_from[end]
    return pieces[::-1]


def _longest_pieces(word: str, scores: Mapping[str, float]) -> list[str]:
    return _piece_by_piece(word, scores, key=len)


def _likeliest_pieces(word: str, scores: Mapping[str, float]) -> list[str]:
    return _piece_by_piece(word, scores, key=lambda piece: scores[piece])


def _piece_by_piece(word, scores, key) -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        fitting = [word[start:end] for end in range(start + 1, len(word) + 1)]
        pieces.append(max((piece for piece in fitting if piece in scores), key=key))
        start += len(pieces[-1])
    return pieces


def _fewest_pieces(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_cut(word, dict.fromkeys(scores, -1.0))


def _least_likely(word: str, scores: Mapping[str, float]) -> list[str]:
    return _best_cut(word, {piece: -score for piece, score in scores.items()})


def _word_and_scores(g: Generator) -> tuple[str, dict[str, float]]:
    """Random scores, so that no two cuts are equally good; every fifth word is long."""
    letters = "abcd"
    pieces = {*letters, *(_a_word(g, letters, 2, 4) for _ in range(60))}
    scores = {}
    for piece in sorted(pieces):
        scores[piece] = -1.0 - 5.0 * float(draw.uniform(g, 1)) - len(piece) / 2
    long = g.initial_seed() % 5 == 4
    return _a_word(g, letters, 50 if long else 8, 60 if long else 14), scores


EXERCISES = (
    Choice(
        name="tokenizers.predict_dropped_merges",
        right="b",
        why={
            "a": "A merge joins tokens that were there when it was learned. It never needs one "
            "that came later.",
            "b": "Training appends one merge after another, and none changes an earlier one. The "
            "first merges are those of a training that stopped sooner.",
            "c": "The 256 bytes are still there, and every text is made of bytes.",
            "d": "A dropped token is written with the two that it was made of: the same bytes, "
            "and so the same text.",
        },
        hint="Go through the training loop: what does step 300 know about step 400?",
    ),
    Exercise(
        name="tokenizers.next_merge",
        reference=_next_merge,
        inputs=_some_words,
        hint="A Counter over pairwise(word), to which you add the count of the word; then max "
        "with the key (count, pair).",
        remark="Repeat this and join: that is the whole training of BPE.",
        wrong={
            "smaller of equals": Wrong(
                _smaller_of_equals, "Of equally frequent pairs you took the smaller one."
            ),
            "first of equals": Wrong(
                _first_of_equals,
                "Of equally frequent pairs you took the one that was counted first: the result "
                "would depend on the order of the words.",
            ),
            "word counts forgotten": Wrong(
                _without_word_counts,
                "Every word counts once here. A pair occurs as often as its word does.",
            ),
            "across words": Wrong(
                _across_words,
                "You also counted the last token of a word with the first of the next: merges "
                "stay inside words.",
            ),
            "greatest pair": Wrong(
                _greatest_pair, "You took the greatest pair. The count comes first."
            ),
        },
    ),
    Exercise(
        name="tokenizers.bpe_encode",
        reference=_bpe_encode,
        inputs=_word_and_merges,
        hint="Start from single bytes. For each merge, in order, join all its occurrences from "
        "left to right.",
        remark="These are the tokens that the library and tiktoken find.",
        wrong={
            "longest first": Wrong(
                _longest_first,
                "You took the longest token from the left: that is WordPiece. BPE replays its "
                "merges.",
            ),
            "once per merge": Wrong(
                _once_per_merge, "A merge joins all its occurrences in the word, not only one."
            ),
            "last learned first": Wrong(
                _last_learned_first,
                "You began with the merge that was learned last: its parts are not there yet.",
            ),
            "from the left": Wrong(
                _from_the_left,
                "You joined whatever could be joined, from the left. The order of the merges "
                "decides, not the place in the word.",
            ),
        },
    ),
    Exercise(
        name="tokenizers.wordpiece_encode",
        reference=_wordpiece_encode,
        inputs=_word_and_vocab,
        hint="From the place you have reached, try the longest end first; put ## in front unless "
        "you are at the start of the word.",
        remark="This is how BERT cuts a word.",
        wrong={
            "shortest first": Wrong(
                lambda word, vocab: _greedy(word, vocab, longest=False),
                "You took the shortest token that fits: try the longest first.",
            ),
            "no mark": Wrong(
                lambda word, vocab: _greedy(word, vocab, mark=""),
                "Inside a word only tokens that begin with ## may be used.",
            ),
            "marks forgotten": Wrong(
                _marks_forgotten, "The cuts are right, but the tokens lost their ##."
            ),
            "part unknown": Wrong(
                lambda word, vocab: _greedy(word, vocab, give_up=False),
                "One letter was unknown: then the whole word is [UNK], not only that letter.",
            ),
        },
    ),
    Exercise(
        name="tokenizers.show_stream",
        reference=_show_stream,
        inputs=_some_tokens,
        hint="Keep bytes between tokens: codecs.getincrementaldecoder('utf-8') does. Or hold back "
        "at most the last three bytes.",
        remark="This is what stands between a model and a chat window.",
        wrong={
            "each alone": Wrong(
                lambda tokens: [token.decode(errors="replace") for token in tokens],
                "A token that holds half a character became �: keep its bytes until all is there.",
            ),
            "half dropped": Wrong(
                lambda tokens: [token.decode(errors="ignore") for token in tokens],
                "Characters that are spread over two tokens are lost: keep their bytes.",
            ),
            "all at the end": Wrong(
                _all_at_the_end, "You waited for the end: show a character once it is complete."
            ),
            "growing": Wrong(
                _growing, "You show everything so far each time: show only what is new."
            ),
            "complete characters held back": Wrong(
                _whole_tokens_only,
                "A complete character had to wait because half of another stood behind it.",
            ),
        },
    ),
    Exercise(
        name="tokenizers.best_cut",
        reference=_best_cut,
        inputs=_word_and_scores,
        hint="For each place in the word, keep the best sum that reaches it and the piece by "
        "which it came. Then walk back from the end.",
        remark="This is Viterbi's algorithm: as many steps as the lattice has edges.",
        wrong={
            "longest pieces": Wrong(
                _longest_pieces,
                "You took the longest piece each time: a long piece may be improbable, or leave a "
                "bad rest.",
            ),
            "likeliest pieces": Wrong(
                _likeliest_pieces,
                "You took the most probable piece each time. The sum decides: short pieces are "
                "probable, and many of them are not.",
            ),
            "fewest pieces": Wrong(
                _fewest_pieces, "This is the cut with the fewest pieces: use the scores."
            ),
            "least likely": Wrong(
                _least_likely,
                "This is the least probable cut: scores are negative, and the largest sum wins.",
            ),
        },
    ),
)
