"""How figures look, and the set-up call that every notebook begins with.

Still figures are cards of white paper in light and in dark mode, so their colours never have to
change. The style lives here; no notebook sets a font size or a colour of its own.
"""

from __future__ import annotations

import random
import warnings

import matplotlib as mpl
import numpy as np
import torch
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap

from llmlib.viz.palette import COLORS, CYCLE, DIVERGING, SEQUENTIAL

__all__ = ["DIVERGING_MAP", "SEQUENTIAL_MAP", "set_up_notebook", "use_style"]

#: Matplotlib colour map from paper to deep blue.
SEQUENTIAL_MAP = LinearSegmentedColormap.from_list("book_sequential", SEQUENTIAL)

#: Matplotlib colour map from red over paper to blue.
DIVERGING_MAP = LinearSegmentedColormap.from_list("book_diverging", DIVERGING)

_STYLE = {
    "figure.figsize": (6.4, 3.6),
    "figure.dpi": 110,
    "figure.facecolor": COLORS["paper"],
    "figure.constrained_layout.use": True,
    "savefig.facecolor": COLORS["paper"],
    "axes.facecolor": COLORS["paper"],
    "axes.edgecolor": COLORS["grey"],
    "axes.labelcolor": COLORS["ink"],
    "axes.titlecolor": COLORS["ink"],
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=CYCLE),
    "grid.color": COLORS["grey"],
    "grid.alpha": 0.2,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["ink"],
    "ytick.color": COLORS["ink"],
    "legend.frameon": False,
    "image.cmap": "Blues",
    "font.family": "DejaVu Sans",  # ships with Matplotlib: the same figure on every machine
    "font.size": 10,
}


def use_style() -> None:
    """Make Matplotlib draw in the style of the book from now on.

    Examples
    --------
    >>> use_style()
    >>> mpl.rcParams["axes.prop_cycle"].by_key()["color"][0]
    '#2f6fb0'
    """
    mpl.rcParams.update(_STYLE)


def set_up_notebook(seed: int) -> None:
    """Seed every generator, apply the style, and make torch print four decimals.

    Every notebook calls this first, so that it gives the same numbers on every run. tqdm's warning
    about missing widgets, which importing transformers causes, is silenced.

    Parameters
    ----------
    seed : int
        Seed for ``random``, ``numpy.random`` and ``torch``, 0 or more.

    Raises
    ------
    ValueError
        ``seed`` is negative or does not fit in 32 bits, which numpy refuses.

    Examples
    --------
    >>> set_up_notebook(seed=0)
    >>> first = torch.rand(1)
    >>> set_up_notebook(seed=0)
    >>> torch.equal(torch.rand(1), first)
    True
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed} is outside 0..{2**32 - 1}: give a small whole number")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_printoptions(precision=4, sci_mode=False)
    # Libraries that import tqdm warn where a notebook has no ipywidgets; plain bars are fine.
    warnings.filterwarnings("ignore", message="IProgress not found")
    use_style()
