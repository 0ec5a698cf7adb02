"""The colours of the book: one source for the site, Matplotlib and Plotly.

The style sheet of the site copies these values, and a test compares the two. This file imports
nothing, so that the site can be built without torch.

Examples
--------
>>> COLORS["blue"]
'#2f6fb0'
>>> CYCLE[:2] == (COLORS["blue"], COLORS["orange"])
True
"""

__all__ = ["COLORS", "CYCLE", "DIVERGING", "SEQUENTIAL"]

#: Named colours, as CSS hexadecimal strings.
COLORS = {
    "ink": "#1f2933",
    "grey": "#6b7785",
    "paper": "#ffffff",
    "blue": "#2f6fb0",
    "orange": "#d9772b",
    "green": "#2a8c6a",
    "purple": "#8a5aa8",
    "red": "#c0453f",
    "gold": "#b58e1e",
}

#: Order in which curves and bars take their colours.
CYCLE = tuple(COLORS[name] for name in ("blue", "orange", "green", "purple", "red", "gold"))

#: Paper to deep blue, from low to high, with equal steps: heat maps of weights.
SEQUENTIAL = (COLORS["paper"], "#c6d9ec", "#86b0d8", COLORS["blue"], "#173d66")

#: Red over paper to blue: heat maps of numbers that have a sign.
DIVERGING = (COLORS["red"], "#e3aba8", COLORS["paper"], "#a3bfdc", COLORS["blue"])
