"""What the converter of one architecture provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from llmlib.interop.fields import Fields
from llmlib.interop.tensors import Layout

__all__ = ["Family", "common_fields"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture of transformers and how it maps to a model of ours.

    Parameters
    ----------
    architecture : str
        Class name in transformers, as ``config.json`` lists it.
    model_type : str
        Name of its config in transformers.
    model : type
        Our class, built from its config.
    defaults : mapping
        What transformers assumes for fields that a file leaves out.
    read_config : callable
        ``(fields, theirs) -> config``; ``theirs`` is the checkpoint, for the rare fact that only
        the weights tell.
    write_config : callable
        ``config -> fields`` of their config.
    layouts : callable
        ``config -> layouts``: first that of a model in memory, then other ones found on disk; the
        last is the one to write.
    """

    architecture: str
    model_type: str
    model: type[nn.Module]
    defaults: Mapping[str, Any]
    read_config: Callable[[Fields, Mapping[str, Tensor]], Any]
    write_config: Callable[[Any], dict[str, Any]]
    layouts: Callable[[Any], tuple[Layout, ...]]

    def build(self, given: Mapping[str, Any], theirs: Mapping[str, Tensor]) -> nn.Module:
        """Our model with their config and weights, in evaluation mode and their dtype."""
        fields = Fields(given, self.defaults)
        config = self.read_config(fields, theirs)
        fields.finish()
        model = self.model(config)
        layout = max(self.layouts(config), key=lambda option: option.names_found(theirs))
        layout.read(theirs, model)
        dtype = next(tensor.dtype for tensor in theirs.values() if tensor.is_floating_point())
        return model.to(dtype).eval()

    def fields(self, config: Any, token_ids: Mapping[str, int | None]) -> dict[str, Any]:
        """Their whole config for a config of ours."""
        unset = {"bos_token_id": None, "eos_token_id": None}
        return common_fields(self) | unset | self.write_config(config) | dict(token_ids)


def common_fields(family: Family) -> dict[str, Any]:
    """Fields that say which class a folder holds."""
    return {"architectures": [family.architecture], "model_type": family.model_type}
