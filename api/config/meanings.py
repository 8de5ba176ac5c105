"""What each setting of a node is for: the line below its declaration in `protocol.params.config`, read from there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from types import MappingProxyType

from protocol.params.config.node import Config

from .own import SETTINGS


@cache
def meanings() -> Mapping[str, str]:
    """Path of every setting to one sentence or more."""
    found = dict(_of(Config, ""))
    found |= {one.path: one.help for one in SETTINGS}
    return MappingProxyType(found)


def _of(section: type, path: str) -> Iterator[tuple[str, str]]:
    texts = _below(section)
    for item in fields(section):
        here = f"{path}.{item.metadata['key']}" if path else item.metadata["key"]
        if "section" in item.metadata:
            yield from _of(item.metadata["section"], here)
        else:
            yield here, texts[item.name]


@cache
def _below(section: type) -> Mapping[str, str]:
    """Name of an attribute to the text below it."""
    (declared,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(declared, ast.ClassDef)
    found = {}
    for one, following in zip(declared.body, declared.body[1:]):
        is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and is_text:
            text = following.value.value  # type: ignore[attr-defined]
            found[one.target.id] = " ".join(str(text).split())
    return found
