"""Requirements, pins and addresses say the same thing everywhere."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
URL = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]


def pins(lines: list[str]) -> dict[str, Version]:
    pairs = (line.strip().split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def constraints() -> dict[str, Version]:
    return pins((ROOT / "constraints.txt").read_text().splitlines())


def environment() -> list[str]:
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return next(part["pip"] for part in parts if isinstance(part, dict))


def direct_requirements() -> list[Requirement]:
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for lines in lists for line in lines]


def test_every_direct_requirement_is_pinned_inside_its_range():
    tested = constraints()
    for requirement in direct_requirements():
        name = canonicalize_name(requirement.name)
        assert name in tested, f"constraints.txt has no version of {name}"
        assert tested[name] in requirement.specifier, f"{name}: {tested[name]} is out of range"


def test_environment_and_constraints_agree():
    stated = pins(environment())
    wanted = {canonicalize_name(requirement.name) for requirement in direct_requirements()}
    assert set(stated) == wanted
    tested = constraints()
    assert {name: tested[name] for name in stated} == stated
    assert "--constraint constraints.txt" in environment()
    assert "--editable ." in environment()


def test_torch_is_pinned_but_the_library_accepts_a_range():
    assert constraints()["torch"] == Version("2.13.0")
    torch = next(r for r in direct_requirements() if r.name == "torch")
    assert Version("2.8") in torch.specifier


def test_core_dependencies_are_the_agreed_seven():
    names = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert names == {"torch", "numpy", "regex", "safetensors", "matplotlib", "plotly", "tqdm"}


def test_every_requirement_carries_a_reason():
    text = (ROOT / "pyproject.toml").read_text().split("[tool.")[0]
    lists = text[text.index("dependencies = [") :]
    lines = [line for line in lists.splitlines() if line.startswith('    "')]
    assert len(lines) == len(direct_requirements()) - len(PROJECT["optional-dependencies"]["lab"])
    assert [line for line in lines if "#" not in line] == []


def test_repository_address_is_the_one_of_the_config():
    for name in ("README.md", "CITATION.cff"):
        text = (ROOT / name).read_text()
        found = set(re.findall(r"https://github\.com/[\w-]+/[\w-]+", text))
        assert found == {URL}, name


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
