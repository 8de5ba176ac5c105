"""Records that are declared once: the annotations of their fields say how they are encoded.

What a field may be, in the notation of protocol 03-encoding-and-types, section 1.1:

    c8 c16 c32 c64     Annotated[int, c32]; likewise byte, u16, u32, u64
    bool               bool
    bN                 an id, such as AtxId, or Annotated[bytes, exactly(N)]
    bytes<=N           Annotated[bytes, up_to(N)]
    str<=N             Annotated[str, up_to(N)]
    [T]<=N             Annotated[Sequence[T], up_to(N)]; a tuple[T, ...] unless its elements are raw arrays
    [T;K]              Annotated[Sequence[T], exactly(K)]
    ?T                 T | None
    {...}              another record
    forms of their own Annotated[T, a codec]

A declaration is checked when its module is imported; code is generated at the first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from inspect import get_annotations
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, NewType, TypeVar, Union, cast, dataclass_transform, get_args, get_origin

from protocol.codec.base import Codec
from protocol.codec.composites import Choice, Custom, Elements, Option, Struct
from protocol.codec.primitives import Boolean, ByteString, Fixed, Text

__all__ = ["Exactly", "Record", "UpTo", "codec_of", "encoded_as", "exactly", "record", "up_to"]

R = TypeVar("R", bound="Record")


class Record:
    """The base of every record."""

    __slots__ = ()

    codec: ClassVar[Struct[Any]]
    """How the record is encoded in SCALE."""

    def __repr__(self) -> str:
        # as that of a dataclass; made for each class by itself it takes a tenth of the time of the import
        return (
            f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.codec.members)})"
        )


@dataclass_transform(frozen_default=True)
def record(cls: type[R]) -> type[R]:
    """Makes a frozen dataclass with slots of a class of annotated fields, and its codec of the annotations.

    Raises TypeError, with the name of the field, for a declaration that has no encoding.
    """
    if cls.__bases__ != (Record,) or hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} has to be derived from Record alone and to have no __post_init__ (never run)")
    annotations = get_annotations(cls, eval_str=True)
    made: Any = dataclass(frozen=True, slots=True, repr=False)(cls)
    members = {field.name: _member(f"{cls.__name__}.{field.name}", annotations[field.name]) for field in fields(made)}
    made.codec = Struct(made, members)
    return cast(type[R], made)


@dataclass(frozen=True, slots=True)
class UpTo:
    """At most so many bytes or elements, with their number before them."""

    limit: int


@dataclass(frozen=True, slots=True)
class Exactly:
    """So many bytes or elements, without a prefix."""

    count: int


up_to = UpTo
exactly = Exactly

_ENCODINGS: dict[object, Codec[Any]] = {}


def encoded_as(codec: Codec[Any], *names: object) -> None:
    """Says once how values of types made by NewType are encoded wherever they stand. Raises TypeError."""
    for name in names:
        if not isinstance(name, NewType) or name in _ENCODINGS or not _holds(codec, name):
            raise TypeError(f"{name} cannot be encoded as {codec}, or it was said before how it is")
        _ENCODINGS[name] = codec


def codec_of(annotation: Any) -> Codec[Any]:
    """The codec of an annotated type. Raises TypeError for one that has none."""
    if annotation in _ENCODINGS:
        return _ENCODINGS[annotation]
    if annotation is bool:
        return Boolean("bool")
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation.codec
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
        return Option(codec_of(arguments[0] if arguments[1] is NoneType else arguments[1]))
    raise TypeError(f"{annotation} has no encoding of its own: annotate it with one")


def _member(field: str, annotation: Any) -> Codec[Any]:
    try:
        return codec_of(annotation)
    except TypeError as error:
        raise TypeError(f"{field}: {error}") from None


def _annotated(kind: Any, marks: Sequence[object]) -> Codec[Any]:
    match marks:
        case [Codec() as codec] if _holds(codec, kind):
            return codec
        case [UpTo(limit)] if _plain(kind) is bytes:
            return ByteString(limit)
        case [UpTo(limit)] if _plain(kind) is str:
            return Text(limit)
        case [Exactly(count)] if _plain(kind) is bytes:
            return Fixed(count)
        case [UpTo(limit)] if (element := _element(kind)) is not None:
            return Elements(element, limit=limit)
        case [Exactly(count)] if (element := _element(kind)) is not None:
            return Elements(element, count=count)
    raise TypeError(f"{kind} cannot be encoded as {', '.join(map(str, marks))}")


def _element(kind: Any) -> Codec[Any] | None:
    """The codec of the elements of a list; None for another type."""
    arguments = get_args(kind)
    if get_origin(kind) is Sequence:
        return codec_of(arguments[0])
    if get_origin(kind) is tuple and arguments[1:] == (...,):
        element = codec_of(arguments[0])
        if not isinstance(element, Fixed):  # a list of raw arrays is read as an IdList
            return element
    return None


def _holds(codec: Codec[Any], kind: Any) -> bool:
    """Whether values of a type can be what a codec is for."""
    if isinstance(codec, Choice):
        return {option.owner for option in codec.options.values()} == set(get_args(kind))
    if isinstance(codec, Custom):
        return _holds(codec.like, kind)
    if isinstance(codec, Option):
        return NoneType in get_args(kind)
    if isinstance(codec, Elements):
        return get_origin(kind) in (Sequence, tuple)
    if isinstance(codec, Struct):
        return bool(codec.owner is kind)
    return codec.values is None or _plain(kind) is codec.values


def _plain(kind: Any) -> Any:
    """The type under its names."""
    while isinstance(kind, NewType):
        kind = kind.__supertype__
    return kind
