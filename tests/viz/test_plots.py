"""Still figures show the numbers they were given."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from llmlib.viz import COLORS, attention_map, line_plot, use_style


@pytest.fixture(autouse=True)
def fresh_figures():
    plt.switch_backend("agg")
    use_style()
    yield
    plt.close("all")


def test_attention_map_shows_rows_as_queries():
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], requires_grad=True)
    ax = attention_map(weights, ["q0", "q1"], ["k0", "k1", "k2"], title="Weights")
    (image,) = ax.images
    np.testing.assert_allclose(image.get_array(), weights.detach())
    assert image.get_clim() == (0.0, 1.0)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["q0", "q1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["k0", "k1", "k2"]
    assert ax.get_title(loc="left") == "Weights"
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[(2, 1)] == "0.50"  # column 2 of row 1
    assert len(cells) == 6


def test_numbers_can_be_read_on_dark_and_on_light_cells():
    ax = attention_map([[1.0, 0.0]], ["q"], ["a", "b"])
    colours = [text.get_color() for text in ax.texts]
    assert colours == [COLORS["paper"], COLORS["ink"]]


def test_a_large_map_has_no_numbers():
    ax = attention_map(np.full((9, 9), 1 / 9), list("abcdefghi"), list("abcdefghi"))
    assert not ax.texts


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (1, 2, 3), (3,)])
def test_attention_map_refuses_labels_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="2 query labels and 3 key labels"):
        attention_map(torch.zeros(shape), ["a", "b"], ["a", "b", "c"])


def test_line_plot_draws_what_it_is_given():
    ax = line_plot(
        {"train": [3.0, 2.0, 1.0], "test": ([0, 10], torch.tensor([3.0, 2.5]))},
        xlabel="step",
        ylabel="loss (nats)",
        floor=1.5,
        floor_label="ln V",
    )
    train, test, floor = ax.lines
    assert train.get_xydata().tolist() == [[0, 3], [1, 2], [2, 1]]
    assert test.get_xydata().tolist() == [[0, 3], [10, 2.5]]
    assert floor.get_ydata() == [1.5, 1.5]
    assert train.get_linestyle() != test.get_linestyle()
    assert train.get_color() != test.get_color()
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["train", "test", "ln V"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss (nats)")


def test_plots_draw_into_given_axes():
    _, (left, right) = plt.subplots(1, 2)
    assert attention_map([[1.0]], ["q"], ["k"], ax=left) is left
    assert line_plot({"one": [1.0, 2.0]}, xlabel="x", ylabel="y", ax=right) is right
    assert right.get_legend() is None


@pytest.mark.parametrize("series", [{}, {"a": ([0, 1], [1.0])}, {"a": [[1.0], [2.0]]}])
def test_line_plot_refuses(series):
    with pytest.raises(ValueError, match=r"curve"):
        line_plot(series, xlabel="x", ylabel="y")


def test_a_picture_is_small_enough_to_be_stored():
    ax = line_plot({"loss": torch.rand(500).tolist()}, xlabel="step", ylabel="loss")
    file = io.BytesIO()
    ax.figure.savefig(file, format="png", bbox_inches="tight")
    assert len(file.getvalue()) < 200_000
