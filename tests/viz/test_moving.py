"""Moving figures: frames that hold what changes, and an output that never drifts."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from plotly.offline import get_plotlyjs_version

from llmlib.viz import COLORS, selector, show, slider
from llmlib.viz.display import PLOTLY_SCRIPT

PLOTLY = "application/vnd.plotly.v1+json"


def softmax_bars():
    scores = torch.tensor([2.0, 1.0, 0.1])
    return {
        f"{t:.1f}": [go.Bar(x=["a", "b", "c"], y=(scores / t).softmax(-1).tolist(), name="p")]
        for t in (0.5, 1.0, 2.0)
    }


def random_maps():
    generator = torch.Generator().manual_seed(0)
    return {n: [go.Heatmap(z=torch.randn(3, 4, generator=generator).numpy())] for n in range(3)}


@pytest.fixture
def stored(monkeypatch):
    """Calls ``show`` and returns what a notebook would store."""

    def call(*args, **options):
        shown = []
        monkeypatch.setattr("IPython.display.display", shown.append)
        show(*args, **options)
        (figure,) = shown
        return figure._repr_mimebundle_()

    return call


@pytest.mark.parametrize("build", [slider, selector])
@pytest.mark.parametrize("frames", [softmax_bars, random_maps])
def test_every_stop_leads_to_its_own_frame(build, frames, stored):
    figure = stored(build(frames(), prefix="value = ", start=1), "test-figure")[PLOTLY]
    layout = figure["layout"]
    menu = layout["sliders"][0] if build is slider else layout["updatemenus"][0]
    stops = menu["steps"] if build is slider else menu["buttons"]
    names = [frame["name"] for frame in figure["frames"]]
    assert [stop["args"][0] for stop in stops] == [[name] for name in names]
    assert [stop["label"] for stop in stops] == names == [str(label) for label in frames()]
    assert all(stop["method"] == "animate" for stop in stops)
    assert all(stop["args"][1]["frame"]["redraw"] for stop in stops)
    assert menu["active"] == 1
    assert menu["name"] == "value"
    key = "y" if frames is softmax_bars else "z"
    assert figure["data"][0][key] == figure["frames"][1]["data"][0][key]
    assert len({json.dumps(frame["data"]) for frame in figure["frames"]}) == 3


def test_frames_hold_only_what_changes():
    figure = slider(softmax_bars(), prefix="t = ")
    for frame in figure.frames:
        assert set(frame.data[0].to_plotly_json()) == {"type", "y"}
    both = {
        n: [go.Scatter(x=[0, n], y=[0, 1], name="fixed"), {"y": [n, n], "name": f"{n}"}]
        for n in (1, 2, 3)
    }
    for frame in slider(both, prefix="n = ").frames:
        assert set(frame.data[0].to_plotly_json()) == {"type", "x"}
        assert set(frame.data[1].to_plotly_json()) == {"type", "y", "name"}
        assert frame.traces == (0, 1)


def test_axes_and_colours_cover_all_frames():
    lines = {n: [go.Scatter(x=[0, 10 * n], y=[-1, n])] for n in (1, 2)}
    figure = slider(lines, prefix="n = ")
    assert figure.layout.xaxis.range == (0, 21)
    assert figure.layout.yaxis.range == (-1.15, 2.15)
    assert slider(softmax_bars(), prefix="t = ").layout.yaxis.range[0] == 0
    assert slider(lines, prefix="n = ", yrange=(-5, 5)).layout.yaxis.range == (-5, 5)

    signed = {"a": [go.Heatmap(z=[[-3, 1]])], "b": [go.Heatmap(z=[[0, 2]])]}
    for frame in (slider(signed, prefix=""), slider(signed, prefix="", start=1)):
        assert (frame.data[0].zmin, frame.data[0].zmax) == (-3, 3)
        assert frame.data[0].colorscale[2][1] == COLORS["paper"]
    weights = {"a": [go.Heatmap(z=[[0.5, 0.25]])], "b": [go.Heatmap(z=[[0.75, 0.25]])]}
    figure = slider(weights, prefix="")
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 0.75)
    assert figure.data[0].colorscale[0][1] == COLORS["paper"]
    assert figure.layout.yaxis.autorange == "reversed"
    own = {n: [go.Heatmap(z=[[n]], zmin=-1, zmax=9, colorscale="Greys")] for n in (1, 2)}
    assert slider(own, prefix="").data[0].zmax == 9


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        ({}, {}, "two or more"),
        ({"one": [go.Bar(y=[1])]}, {}, "two or more"),
        ({1: [go.Bar(y=[1])], "1": [go.Bar(y=[2])]}, {}, "two or more different labels"),
        ({1: [go.Bar(y=[1])], 2: [go.Scatter(y=[2])]}, {}, "frame '2' has traces"),
        ({1: [go.Bar(y=[1])], 2: [go.Bar(y=[2]), go.Bar(y=[2])]}, {}, "frame '2' has traces"),
        ({1: [go.Bar(y=[1])], 2: [go.Bar(y=[2], name="b")]}, {}, "same properties"),
        ({1: [go.Bar(y=[1])], 2: [go.Bar(y=[2])]}, {"start": 2}, "start=2"),
    ],
)
def test_refuses_frames(frames, options, message):
    with pytest.raises(ValueError, match=message):
        slider(frames, prefix="n = ", **options)


def test_stored_forms(stored):
    alt = 'Bars "flatten" </script> as t grows'
    forms = stored(slider(softmax_bars(), prefix="t = ", title="Softmax"), "softmax-t", alt=alt)
    assert set(forms) == {PLOTLY, "text/html", "text/plain"}
    assert forms["text/plain"] == "<moving figure softmax-t>"
    spec = forms[PLOTLY]
    assert set(spec) == {"data", "layout", "frames", "config"}
    assert spec["layout"]["meta"]["alt"] == alt
    assert spec["layout"]["autosize"] is True
    assert "width" not in spec["layout"]
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    page = forms["text/html"]
    assert 'id="softmax-t"' in page
    assert "<noscript>Bars &quot;flatten&quot; &lt;/script&gt; as t grows" in page
    assert page.count("</script>") == 1
    assert len(json.dumps(forms)) < 20_000


def test_alt_falls_back_to_the_title_and_then_to_the_name(stored):
    titled = stored(slider(softmax_bars(), prefix="t = ", title="Softmax"), "one")
    assert titled[PLOTLY]["layout"]["meta"]["alt"] == "Softmax"
    bare = stored(slider(softmax_bars(), prefix="t = "), "two")
    assert bare[PLOTLY]["layout"]["meta"]["alt"] == "Moving figure two"


def test_numbers_are_short_lists(stored):
    ys = np.array([1 / 3, -0.00001234567, 123456.0, np.nan, -1e-16], dtype=np.float32)
    frames = {"a": [go.Scatter(y=ys)], "b": [go.Scatter(y=2 * ys)]}
    spec = stored(slider(frames, prefix="", yrange=(0, 1)), "numbers")[PLOTLY]
    assert spec["data"][0]["y"] == [0.3333, -1.235e-05, 123500.0, None, 0.0]
    assert str(spec["data"][0]["y"][4]) == "0.0"  # and not -0.0
    assert "bdata" not in json.dumps(spec)
    counts = {n: [go.Bar(x=np.array([12345, 2]), y=[n, n])] for n in (1, 2)}
    assert stored(slider(counts, prefix=""), "counts")[PLOTLY]["data"][0]["x"] == [12345, 2]


def test_stored_output_is_the_same_in_another_process(stored):
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import test_moving as t\n"
        "from llmlib.viz.display import _bundle\n"
        "print(json.dumps(_bundle(t.slider(t.random_maps(), prefix='n = '), 'maps', 'Maps')))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    here = json.dumps(stored(slider(random_maps(), prefix="n = "), "maps", alt="Maps"))
    assert runs[0].stdout.strip() == runs[1].stdout.strip() == here


def test_traces_may_be_dictionaries_with_tensors(stored):
    frames = {n: [{"type": "bar", "y": torch.tensor([n / 3, n])}] for n in (1, 2)}
    spec = stored(slider(frames, prefix="n = "), "tensors")[PLOTLY]
    assert spec["data"] == [{"type": "bar", "y": [0.3333, 1.0]}]
    assert spec["frames"][1]["data"] == [{"type": "bar", "y": [0.6667, 2.0]}]


@pytest.mark.parametrize("name", ["Softmax", "soft_max", "soft max", "", "-a", "a--b", "ä"])
def test_refuses_names(name):
    with pytest.raises(ValueError, match="lower-case letters"):
        show(slider(softmax_bars(), prefix="t = "), name)


def test_refuses_what_is_not_a_figure():
    with pytest.raises(TypeError, match="dict"):
        show({"data": []}, "name")


def test_says_what_to_install_where_ipython_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match=r"llmlib\[lab\]"):
        show(slider(softmax_bars(), prefix="t = "), "name")


def test_the_script_from_the_network_is_the_version_tested_here():
    assert f"plotly-{get_plotlyjs_version()}.min.js" in PLOTLY_SCRIPT
