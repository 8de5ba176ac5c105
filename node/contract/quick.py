"""Values of which a node makes very many: frozen dataclasses with slots that are made in half of the time.

A frozen dataclass sets each field through object.__setattr__. Here an object is, while it is being made, one of a bare
class with the same slots, which Python allows since the layouts are the same; records are read in that way, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, dataclass_transform, overload

C = TypeVar("C")


@overload
def quick(cls: type[C], /) -> type[C]: ...
@overload
def quick(*, eq: bool) -> Callable[[type[C]], type[C]]: ...
@dataclass_transform(frozen_default=True)
def quick(cls: type[C] | None = None, /, *, eq: bool = True) -> Any:
    """Makes a frozen dataclass with slots of a class of annotated fields; eq=False: compared by identity.

    Raises TypeError for a field with a default factory.
    """
    if cls is None:
        return lambda cls: _made(cls, eq)
    return _made(cls, eq)


def _made(cls: type[C], eq: bool) -> type[C]:
    made = dataclass(frozen=True, slots=True, eq=eq)(cls)
    all_fields = fields(made)  # type: ignore[arg-type]
    names = [field.name for field in all_fields]
    if any(field.default_factory is not MISSING for field in all_fields):
        raise TypeError(f"{cls.__name__} has a field with a default factory, expected plain defaults")
    parameters = ", ".join(
        field.name if field.default is MISSING else f"{field.name}=default_{field.name}" for field in all_fields
    )
    known: dict[str, Any] = {f"default_{field.name}": field.default for field in all_fields}
    known["blank"] = type(cls.__name__, made.__bases__, {"__slots__": tuple(names)})
    known["made"], known["become"] = made, object.__dict__["__class__"].__set__
    lines = [f"def __init__(self, {parameters}):", " become(self, blank)"]
    lines += [f" self.{name} = {name}" for name in names]
    lines.append(" self.__class__ = made")
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec("\n".join(lines), known)
    known["__init__"].__qualname__ = f"{made.__qualname__}.__init__"
    made.__init__ = known["__init__"]  # type: ignore[method-assign]
    return made
