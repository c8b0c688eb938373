"""YAML as people mean it: the YAML 1.2 core types, nothing executable, nothing silently overwritten.

PyYAML reads YAML 1.1, where ``no`` is false, ``12:30`` is 750, ``1_000`` is 1000 and the last of two equal
keys wins silently. Here such words stay text (so the place that wanted a number says so), and repeated keys,
aliases and tags are errors.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from talik.errors import ConfigError, InputError


class PrintedFloat(float):
    """A number that remembers how it was written: ``25.0`` is known to one decimal, ``25.00`` to two."""

    text: str

    def __new__(cls, text: str) -> PrintedFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[type[PrintedFloat], tuple[str]]:
        return PrintedFloat, (self.text,)


class _Loader(yaml.SafeLoader):
    """The safe loader with the YAML 1.2 core schema and no silent overwriting."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, f"alias *{event.anchor}: write the value out", event.start_mark
            )
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be plain text", key_node.start_mark
                )
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key_node.value!r} appears twice; keep one", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)"
        r"|[-+]?(?:0|[1-9][0-9]*)\.|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def _float(_loader: _Loader, node: yaml.ScalarNode) -> float:
    return PrintedFloat(re.sub(r"\.(?=inf|nan)", "", node.value.lower()))


_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def parse_yaml(text: str, name: str) -> Any:
    """The value of YAML `text`; `name` (a file name) stands in errors. Raises ConfigError with the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader with fewer types)
    except yaml.MarkedYAMLError as err:
        where = f", line {err.problem_mark.line + 1}" if err.problem_mark else ""
        raise ConfigError(f"{name}{where}: {err.problem}") from err
    except RecursionError as err:
        raise ConfigError(f"{name}: nested too deeply to be a project or posts file") from err
    except (yaml.YAMLError, ValueError) as err:
        raise ConfigError(f"{name}: not readable as YAML: {err}") from err


def load_yaml(path: Path) -> Any:
    """The value of a YAML file. Raises InputError (unreadable) or ConfigError (file, line, what)."""
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The UTF-8 text of a file a user named, or an InputError that says why not."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise InputError(
            f"{path}: no such file. Check the name; the current folder is {Path.cwd()}."
        ) from err
    except UnicodeDecodeError as err:
        raise InputError(f"{path}: not UTF-8 text (byte {err.start}). Save it as UTF-8.") from err
    except OSError as err:
        raise InputError(f"{path}: cannot be read: {err.strerror}.") from err
