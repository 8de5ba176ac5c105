"""All codecs that the program declares, found by looking: a new record is tested and fuzzed without being named."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

import protocol.types
from protocol.codec.composites import Struct
from protocol.codec.declare import Codec


@cache
def modules() -> tuple[ModuleType, ...]:
    """Every module with records of the network."""
    names = sorted(module.name for module in pkgutil.iter_modules(protocol.types.__path__))
    return tuple(importlib.import_module(f"protocol.types.{name}") for name in names)


@cache
def declared() -> dict[str, Codec[object]]:
    """The codecs of all records, and the codecs that stand alone in a module, by `module.Name`."""
    found: dict[str, Codec[object]] = {}
    for module in modules():
        short = module.__name__.rpartition(".")[2]
        for name, value in vars(module).items():
            codec = vars(value).get("codec") if isinstance(value, type) else value
            if isinstance(codec, Struct):
                if codec.owner is value and value.__module__ == module.__name__ and name == value.__name__:
                    found[f"{short}.{name}"] = codec
            elif isinstance(codec, Codec) and name.isupper():
                found[f"{short}.{name}"] = codec
    return found
