"""Words and YAML to plain values, as the schema's types ask for: a text stays as it was written.

YAML by itself takes `12_30` for 1230, `on` for true, and ` #` for the begin of a comment.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf

from overpaint.settings.schema import Config

_NULLS = ("null", "Null", "NULL")
_MERGE, _TEXT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"
_GUESSED = tuple(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "timestamp")
)

_SINGLE = r"'(?:[^']|'')*'"
_DOUBLE = r'"(?:[^"\\]|\\.)*"'
_PYTHON = r"'(?:[^'\\]|\\.)*'"  # how W&B hands on a list whose texts hold both kinds of quotes
_ITEM = re.compile(rf"\s*({_SINGLE}|{_DOUBLE}|{_PYTHON}|[^,]*?)\s*(?:,|\Z)", re.DOTALL)


def kind_of(key: str) -> Any:
    """The type of a dotted setting, section or layer's weight; None if there is none such."""
    kind: Any = Config
    for name in key.split("."):
        kind = _inner(kind, name)
    return kind


def read_word(text: str, kind: Any) -> Any:
    """The value that the part of a word behind `=` stands for.

    Args:
        text: as it was typed.
        kind: type of the setting. For a text it is the value, without quotes around it; `null` is
            None where the type has it, and so is no text at all. For a list of texts `[a, 'b,c']`
            is a list and all else its one item. Anything else is YAML.

    Returns:
        A plain value, which need not be of that type; `${...}` is not filled in.

    Raises:
        ValueError, yaml.YAMLError, OmegaConfBaseException: if it is no YAML where it has to be.
    """
    if _is_texts(kind):
        bare = text.strip()
        if bare.startswith("[") and bare.endswith("]") and bare != "[":
            return _items(bare[1:-1].strip())
        return [_unquoted(text)] if text else []
    if _is_text(kind):
        is_null = not text or (text in _NULLS and NoneType in get_args(kind))
        return None if is_null else _unquoted(text)
    loaded = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)
    if get_origin(kind) is dict or dataclasses.is_dataclass(kind) or _item(kind) is not None:
        loaded = _reread(f"value: {text}", {"value": kind})
    assert isinstance(loaded, dict)
    return loaded["value"]


def read_yaml(text: str) -> Any:
    """What a YAML file of settings holds, in plain containers; texts of text settings as written.

    Raises:
        OSError, ValueError, yaml.YAMLError, OmegaConfBaseException: if that cannot be read.
    """
    loaded = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
    return _reread(text, Config) if isinstance(loaded, dict) and loaded else loaded


def _reread(text: str, kind: Any) -> Any:
    """Reads YAML that OmegaConf takes, this time with its texts in quotes."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    _quote(node, kind)
    quoted = io.StringIO(yaml.serialize(node, Dumper=yaml.SafeDumper, allow_unicode=True))
    return OmegaConf.to_container(OmegaConf.load(quoted), resolve=False)


def _quote(node: yaml.Node | None, kind: Any) -> None:
    """Puts what is a text by its place, keys included, in quotes."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == _MERGE:
                _quote(value, kind)
            else:
                _quote(key, str)
                _quote(value, _inner(kind, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            # Where no list is due, it is one of mappings to merge.
            _quote(item, str if _is_texts(kind) else _item(kind) or kind)
    elif isinstance(node, yaml.ScalarNode) and (_is_text(kind) or _is_texts(kind)):
        bare = not node.style
        if bare and node.tag in _GUESSED:
            node.tag, node.style = _TEXT, "'"


def _inner(kind: Any, name: Any) -> Any:
    """The type of what a mapping of some kind, or one in a list, holds under a name."""
    kind = _item(kind) or kind
    if isinstance(kind, Mapping):
        return kind.get(name)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _types(kind).get(name)
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _item(kind: Any) -> Any:
    """The type of the sections that a list holds; None if it is no such list."""
    item = get_args(kind)[0] if get_origin(kind) is tuple else None
    return item if dataclasses.is_dataclass(item) else None


@functools.cache
def _types(section: type) -> dict[str, Any]:
    return get_type_hints(section)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return all(_is_text(one) for one in get_args(kind) if one is not NoneType)
    return kind is str or get_origin(kind) is Literal


def _is_texts(kind: Any) -> bool:
    return get_origin(kind) is tuple and _is_text(get_args(kind)[0])


def _items(text: str) -> list[str]:
    """The texts between commas."""
    found, end = [], 0
    while end < len(text):
        item = _ITEM.match(text, end)
        assert item is not None  # everything but a comma is an item
        found.append(_unquoted(item[1]))
        end = item.end()
    return found


def _unquoted(text: str) -> str:
    """A text without the quotes around the whole of it, if there are any."""
    if re.fullmatch(_SINGLE, text, re.DOTALL):
        return text[1:-1].replace("''", "'")
    if re.fullmatch(_DOUBLE, text, re.DOTALL):
        try:
            return str(yaml.safe_load(text))
        except (yaml.YAMLError, ValueError):  # "C:\Users" has no escape of YAML
            return text[1:-1]
    if re.fullmatch(_PYTHON, text, re.DOTALL):
        return re.sub(r"\\(['\\])", r"\1", text[1:-1])
    return text
