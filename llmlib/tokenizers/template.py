"""Special tokens around a text: ``[CLS] text [SEP]`` for BERT, ``<s> text`` for others."""

from collections.abc import Mapping, Sequence

TEXT = "$A"
"""Stands for the text in a template."""


class Template:
    """A text between special tokens.

    Parameters
    ----------
    parts
        Special tokens and one ``"$A"``, in order.
    ids
        Special token -> id.
    entry
        The entry of the file that this template was read from, to be written as it was; by
        default one is made in which the tokens after the text also follow a second text.

    Examples
    --------
    >>> template = Template(["[CLS]", "$A", "[SEP]"], {"[CLS]": 2, "[SEP]": 3})
    >>> template.before, template.after
    ([2], [3])
    """

    def __init__(self, parts: Sequence[str], ids: Mapping[str, int], entry: dict | None = None):
        if list(parts).count(TEXT) != 1:
            raise ValueError(f"template {list(parts)} must hold {TEXT!r} exactly once")
        unknown = [part for part in parts if part != TEXT and part not in ids]
        if unknown:
            raise ValueError(
                f"template token {unknown[0]!r} is not in the vocabulary; add it to special_tokens"
            )
        self.parts = tuple(parts)
        at = self.parts.index(TEXT)
        self._ids = {part: ids[part] for part in self.parts if part != TEXT}
        self.before = [ids[part] for part in self.parts[:at]]
        self.after = [ids[part] for part in self.parts[at + 1 :]]
        self._entry = entry

    def to_json(self) -> dict:
        """The ``post_processor`` entry of a ``tokenizer.json`` file."""
        if self._entry is not None:
            return self._entry
        at = self.parts.index(TEXT)
        single = [_part(part, 0) for part in self.parts]
        second = [_part("$B", 1), *(_part(part, 1) for part in self.parts[at + 1 :])]
        return {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, *second],
            "special_tokens": {
                token: {"id": token, "ids": [i], "tokens": [token]}
                for token, i in sorted(self._ids.items())
            },
        }


def _part(part: str, type_id: int) -> dict:
    if part in ("$A", "$B"):
        return {"Sequence": {"id": part[1], "type_id": type_id}}
    return {"SpecialToken": {"id": part, "type_id": type_id}}
