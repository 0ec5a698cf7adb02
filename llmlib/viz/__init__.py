"""Floor 1: plots and moving figures that look alike throughout the book.

==========================  ===================================================================
file                        what is in it
==========================  ===================================================================
:mod:`llmlib.viz.palette`   the colours of the site, of Matplotlib and of Plotly: one source
:mod:`llmlib.viz.style`     Matplotlib style; the set-up call of every notebook
:mod:`llmlib.viz.plots`     still figures: attention map, line plot
:mod:`llmlib.viz.moving`    moving figures: slider, selector
:mod:`llmlib.viz.display`   ``show``: what a notebook stores of a moving figure
==========================  ===================================================================
"""

from llmlib.viz.display import show
from llmlib.viz.moving import selector, slider
from llmlib.viz.palette import COLORS
from llmlib.viz.plots import attention_map, line_plot
from llmlib.viz.style import set_up_notebook, use_style

__all__ = [
    "COLORS",
    "attention_map",
    "line_plot",
    "selector",
    "set_up_notebook",
    "show",
    "slider",
    "use_style",
]
