"""MinHash against the exact Jaccard similarity, and banding against its formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlib.data.minhash import MinHash, jaccard, near_duplicates, shingles

SETS = st.sets(st.text("abcdef", min_size=1, max_size=2), max_size=30)


def pair(similarity, size, seed):
    """Two sets whose Jaccard similarity is near the one that is asked for."""
    rng = np.random.default_rng(seed)
    common = round(2 * size * similarity / (1 + similarity))
    names = [str(n) for n in rng.choice(10**9, size=2 * size, replace=False)]
    return set(names[:size]), set(names[size - common : 2 * size - common])


@given(SETS, SETS)
def test_jaccard_by_its_definition(a, b):
    both = [x for x in a if x in b]
    either = list(a) + [x for x in b if x not in a]
    assert jaccard(a, b) == (len(both) / len(either) if either else 1.0)
    assert jaccard(a, b) == jaccard(b, a)
    assert jaccard(a, a) == 1


@pytest.mark.parametrize("similarity", [0.05, 0.3, 0.5, 0.8, 0.95])
def test_the_estimate_is_as_good_as_its_standard_error(similarity):
    minhash = MinHash(bands=32, rows=8)
    errors = []
    for seed in range(60):
        a, b = pair(similarity, 120, seed)
        exact = jaccard(a, b)
        estimate = minhash.estimate(minhash.signature(a), minhash.signature(b))
        errors.append((estimate - exact) / np.sqrt(exact * (1 - exact) / 256))
    assert abs(np.mean(errors)) < 0.5
    assert 0.6 < np.std(errors) < 1.4


@settings(max_examples=50)
@given(SETS.filter(bool), SETS.filter(bool))
def test_signatures(a, b):
    minhash = MinHash()
    assert np.array_equal(minhash.signature(sorted(a)), minhash.signature(sorted(a, reverse=True)))
    union = np.minimum(minhash.signature(a), minhash.signature(b))
    assert np.array_equal(minhash.signature(a | b), union)
    other = MinHash(seed=1)
    assert not np.array_equal(other.signature(a), minhash.signature(a))


@pytest.mark.parametrize("similarity", [0.3, 0.6, 0.8, 0.9])
def test_pairs_are_found_as_often_as_the_formula_says(similarity):
    found = []
    for seed in range(150):
        minhash = MinHash(bands=8, rows=4, seed=seed)
        a, b = pair(similarity, 100, seed)
        signatures = [minhash.signature(a), minhash.signature(b)]
        found.append(list(minhash.candidates(signatures)) == [(0, 1)])
    expected = minhash.detection_probability(jaccard(a, b))
    assert abs(np.mean(found) - expected) < 5 * np.sqrt(expected * (1 - expected) / 150) + 0.01


def test_candidates_within_and_between():
    minhash = MinHash()
    one, two = ({f"{name}{i}" for i in range(50)} for name in "ab")
    s = [minhash.signature(one), minhash.signature(two), minhash.signature(one)]
    assert list(minhash.candidates(s)) == [(0, 2)]
    assert list(minhash.candidates(s[:2], s)) == [(0, 0), (0, 2), (1, 1)]


def test_near_duplicates_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(50)]
    texts = [" ".join(rng.choice(words, size=60)) for _ in range(60)]
    for text in texts[:30]:  # the same again, with some words changed
        changed = text.split()
        for place in rng.choice(60, size=rng.integers(0, 4), replace=False):
            changed[place] = "other"
        texts.append(" ".join(changed))
    sets = [shingles(text) for text in texts]
    for threshold in (0.5, 0.7, 0.9):
        exact = [
            (i, j, jaccard(sets[i], sets[j]))
            for i in range(len(texts))
            for j in range(i + 1, len(texts))
            if jaccard(sets[i], sets[j]) >= threshold
        ]
        assert len(exact) > 3
        assert near_duplicates(texts, threshold=threshold) == exact


def test_shingles():
    assert shingles("") == set()
    assert shingles("one two", size=5) == {"one two"}
    assert shingles("a b a b a b", size=2) == {"a b", "b a"}


def test_wrong_arguments():
    with pytest.raises(ValueError, match="size 0"):
        shingles("a", size=0)
    with pytest.raises(ValueError, match="bands 0"):
        MinHash(bands=0)
    with pytest.raises(ValueError, match=r"threshold 1\.5"):
        near_duplicates(["a"], threshold=1.5)
