r"""Arithmetic coding: any model that gives probabilities is a compressor.

Start with the interval :math:`[0, 1)`. For every symbol keep the part that belongs to it, as wide
as its probability. After the last symbol the width is the probability of the whole message, and

.. math::

    \text{bits} \;\le\; \Bigl\lceil \sum_t -\log_2 P(x_t \mid x_{<t}) \Bigr\rceil + 1
    \;<\; \text{cross-entropy in bits} + 2

suffice to name a point inside it. The decoder runs the same model and sees in which part the
point lies. :func:`interval` does this with exact fractions; :func:`encode` does it with whole
numbers of fixed size, writing out bits as soon as they are certain.

=====================  =======================================  ===========================
code                   symbol                                   shape
=====================  =======================================  ===========================
``symbols``            :math:`x`, numbers 0 to V - 1            ``(T,)``
``next_distribution``  prefix to :math:`P(\cdot \mid x_{<t})`   list of int to ``(V,)``
``frequencies``        the probabilities in whole numbers       ``(V,)``, sum 2**24
``code``               the message                              a string of "0" and "1"
=====================  =======================================  ===========================

References: Witten, Neal and Cleary, "Arithmetic coding for data compression", Communications of
the ACM 30, 1987; MacKay, "Information Theory, Inference, and Learning Algorithms", chapter 6.

Differs from the paper in the sizes: 62-bit intervals and 24-bit frequencies instead of 16 and 14,
so that what rounding costs cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np

__all__ = ["code_point", "decode", "encode", "integer_frequencies", "interval", "total_bits"]

NextDistribution = Callable[[Sequence[int]], np.ndarray]

TOTAL = 1 << 24  # sum of the frequencies of all symbols
REGISTER = 62  # bits of the interval's ends
HALF, QUARTER = 1 << (REGISTER - 1), 1 << (REGISTER - 2)


def integer_frequencies(probabilities: np.ndarray) -> np.ndarray:
    """Whole numbers that sum to 2**24, in proportion to some probabilities, each at least 1.

    Encoder and decoder must agree on every bit, so the model's numbers are rounded once, here.
    A symbol of probability 0 keeps a frequency of 1: it stays possible and costs 24 bits.

    Examples
    --------
    >>> frequencies = integer_frequencies(np.array([0.5, 0.25, 0.25, 0.0]))
    >>> (frequencies / 2**24).round(6).tolist()
    [0.5, 0.25, 0.25, 0.0]
    >>> int(frequencies[3]), int(frequencies.sum()) == 2**24
    (1, True)
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 1 or not 1 <= len(probabilities) <= TOTAL // 2:
        raise ValueError(
            f"probabilities of shape {probabilities.shape}; give one row of 1 to {TOTAL // 2}"
        )
    if not (probabilities >= 0).all() or not math.isclose(probabilities.sum(), 1, abs_tol=1e-6):
        raise ValueError(
            f"probabilities must not be negative and must sum to 1, not {probabilities.sum():.6g}"
        )
    spare = TOTAL - len(probabilities)  # one unit per symbol is reserved
    frequencies = np.floor(probabilities / probabilities.sum() * spare).astype(np.int64) + 1
    frequencies[frequencies.argmax()] += TOTAL - frequencies.sum()
    return frequencies


def total_bits(symbols: Sequence[int], next_distribution: NextDistribution) -> float:
    """Bits that a message costs at the model's rounded probabilities: ``sum of -log2 P``.

    Examples
    --------
    >>> def coin(prefix):
    ...     return np.array([0.5, 0.5])
    >>> round(total_bits([0, 1, 1], coin), 4)
    3.0
    """
    return sum(
        math.log2(TOTAL) - math.log2(frequencies[symbol])
        for frequencies, symbol in _steps(symbols, next_distribution)
    )


def interval(
    symbols: Sequence[int], next_distribution: NextDistribution
) -> tuple[Fraction, Fraction]:
    """Exact lower end and width of the interval of a message. The plain twin of :func:`encode`.

    Examples
    --------
    >>> def coin(prefix):
    ...     return np.array([0.5, 0.5])
    >>> low, width = interval([1, 0], coin)
    >>> str(low), str(width)
    ('1/2', '1/4')
    """
    low, width = Fraction(0), Fraction(1)
    for frequencies, symbol in _steps(symbols, next_distribution):
        below = int(frequencies[:symbol].sum())
        low += width * Fraction(below, TOTAL)
        width *= Fraction(int(frequencies[symbol]), TOTAL)
    return low, width


def code_point(low: Fraction, width: Fraction) -> str:
    """Shortest binary fraction all of whose continuations lie in ``[low, low + width)``.

    Examples
    --------
    0.01 in binary is 1/4, and 0.0100... to 0.0111... all lie in [1/4, 1/2):

    >>> code_point(Fraction(1, 4), Fraction(1, 4))
    '01'
    """
    bits = 0
    while True:
        number = math.ceil(low * 2**bits)  # the first multiple of 2**-bits in the interval
        if Fraction(number + 1, 2**bits) <= low + width:
            return f"{number:0{bits}b}" if bits else ""
        bits += 1


def encode(symbols: Sequence[int], next_distribution: NextDistribution) -> str:
    """Code a message with whole numbers of fixed size.

    Parameters
    ----------
    symbols : sequence of int
    next_distribution : function
        From the symbols so far (a list) to the probabilities of the next one, ``(V,)``.

    Returns
    -------
    str
        "0" and "1", at most two more than :func:`total_bits`.

    Examples
    --------
    >>> def skewed(prefix):
    ...     return np.array([0.9, 0.1])
    >>> code = encode([0] * 20, skewed)
    >>> len(code), decode(code, skewed, length=20) == [0] * 20
    (5, True)
    """
    code: list[str] = []
    low, high = 0, 2 * HALF - 1  # both ends belong to the interval
    undecided = 0  # bits owed: the opposite of the next one written

    def write(bit: int) -> None:
        nonlocal undecided
        code.append(str(bit) + str(1 - bit) * undecided)
        undecided = 0

    for frequencies, symbol in _steps(symbols, next_distribution):
        low, high = _narrow(low, high, frequencies, symbol)
        while True:
            if high < HALF:
                write(0)
            elif low >= HALF:
                write(1)
                low, high = low - HALF, high - HALF
            elif low >= QUARTER and high < 3 * QUARTER:
                undecided += 1  # around the middle: the next bit decides this one too
                low, high = low - QUARTER, high - QUARTER
            else:
                break
            low, high = 2 * low, 2 * high + 1
    if not symbols:
        return ""
    # The interval holds a whole quarter now: two bits name it.
    undecided += 1
    write(0 if low < QUARTER else 1)
    return "".join(code)


def decode(code: str, next_distribution: NextDistribution, *, length: int) -> list[int]:
    """Return the ``length`` symbols of a message, given the model that coded it.

    Raises
    ------
    ValueError
        When the code holds something else than "0" and "1", or ends far too early.
    """
    if set(code) - {"0", "1"}:
        raise ValueError(f"the code holds {sorted(set(code) - {'0', '1'})}; only 0 and 1 may stand")
    bits = iter(code)
    read = 0

    def next_bit() -> int:
        nonlocal read
        read += 1
        if read > len(code) + REGISTER:
            raise ValueError(f"the code of {len(code)} bits is too short for {length} symbols")
        return int(next(bits, "0"))

    low, high, value = 0, 2 * HALF - 1, 0
    for _ in range(REGISTER):
        value = 2 * value + next_bit()
    symbols: list[int] = []
    for _ in range(length):
        frequencies = integer_frequencies(next_distribution(symbols))
        # The largest share whose lower end does not pass the value.
        share = ((value - low + 1) * TOTAL - 1) // (high - low + 1)
        symbol = int(np.searchsorted(np.cumsum(frequencies), share, side="right"))
        symbols.append(symbol)
        low, high = _narrow(low, high, frequencies, symbol)
        while True:
            if high < HALF:
                shift = 0
            elif low >= HALF:
                shift = HALF
            elif low >= QUARTER and high < 3 * QUARTER:
                shift = QUARTER
            else:
                break
            low, high = 2 * (low - shift), 2 * (high - shift) + 1
            value = 2 * (value - shift) + next_bit()
    return symbols


def _steps(
    symbols: Sequence[int], next_distribution: NextDistribution
) -> Iterator[tuple[np.ndarray, int]]:
    """Frequencies of each step with the symbol that came."""
    prefix: list[int] = []
    for symbol in symbols:
        frequencies = integer_frequencies(next_distribution(prefix))
        if not 0 <= symbol < len(frequencies):
            raise ValueError(
                f"symbol {symbol} at place {len(prefix)} is outside 0 to {len(frequencies) - 1}"
            )
        yield frequencies, symbol
        prefix.append(symbol)


def _narrow(low: int, high: int, frequencies: np.ndarray, symbol: int) -> tuple[int, int]:
    """Keep the part of an interval that belongs to a symbol."""
    width = high - low + 1
    below = int(frequencies[:symbol].sum())
    above = below + int(frequencies[symbol])
    return low + width * below // TOTAL, low + width * above // TOTAL - 1
