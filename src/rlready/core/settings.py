"""The base of all configurations, and the types of their settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, Set
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Optional, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from rlready.core.errors import UserError
from rlready.core.explain import ELSEWHERE, as_typed, explain

T = TypeVar("T")
# Every number has a lower and an upper bound: beyond them it has no meaning, and would cost hours or all memory.
Share = Annotated[float, Field(ge=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]  # of steps or problems
Resamples = Annotated[int, Field(ge=1, le=100_000)]
Samples = Annotated[int, Field(ge=1, le=10_000)]  # of one problem
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
Waits = Annotated[int, Field(ge=0, le=1000)]
Bias = Annotated[float, Field(ge=-1000, le=1000)]  # nats
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # numpy's and Transformers' range
Rank = Annotated[int, Field(ge=0, le=4096)]
Alpha = Annotated[int, Field(ge=1, le=1_000_000)]
Processes = Annotated[int, Field(ge=0, le=1024)]
Epochs = Annotated[float, Field(ge=1e-4, le=1000)]
LearningRate = Annotated[float, Field(ge=1e-12, le=1)]
WeightDecay = Annotated[float, Field(ge=0, le=10)]
GradNorm = Annotated[float, Field(ge=1e-15, le=1e9)]
Coefficient = Annotated[float, Field(ge=0, le=1000)]
PositiveCoefficient = Annotated[float, Field(ge=1e-6, le=1000)]
COLDEST = 0.01  # the lowest temperature that is sampled at
Temperature = Annotated[float, Field(ge=COLDEST, le=100)]
Place = Annotated[str, Field(min_length=1)]  # a path, a hub id or a task: an empty one would be the working folder
Precision = Literal["float32", "bfloat16"]
Distributed = Literal["ddp", "fsdp"]


if TYPE_CHECKING:
    Preset = Annotated[T, "None until resolved"]  # code that computes with a configuration gets a resolved one
else:
    Preset = Optional


def _tuple_of(kind: Callable[[str], Any]) -> BeforeValidator:
    """Convert lists to tuples, and split a text, as given on the command line, at its commas."""

    def convert(value: object) -> object:
        if isinstance(value, str):
            *parts, last = (part.strip() for part in value.split(","))
            try:
                return value if "" in parts else tuple(map(kind, [*parts, last] if last else parts))
            except ValueError:
                return value
        return tuple(value) if isinstance(value, list) else value

    return BeforeValidator(convert)


def _plain(value: object) -> object:
    """Paths as texts and whole numbers of numpy as Python's, also inside a list; what has an order, as a tuple."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (bool, str, bytes)):
        return value
    if isinstance(value, Integral):
        return int(value)
    unordered = isinstance(value, (Mapping, Set)) and not isinstance(value, KeysView)
    return tuple(map(_plain, value)) if isinstance(value, Iterable) and not unordered else value


Texts = Annotated[tuple[str, ...], _tuple_of(str)]
Places = Annotated[tuple[Place, ...], _tuple_of(str)]
TokenCounts = Annotated[tuple[Tokens, ...], _tuple_of(int)]
WaitCounts = Annotated[tuple[Waits, ...], _tuple_of(int)]
Biases = Annotated[tuple[Bias, ...], _tuple_of(float)]
InnerShares = Annotated[tuple[InnerShare, ...], _tuple_of(float)]


def check_delimiters(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The same texts; UserError unless there are none, or two of which neither contains the other."""
    if texts and (len(texts) != 2 or not all(texts) or texts[0] in texts[1] or texts[1] in texts[0]):
        raise UserError(
            "delimiters must be two texts, OPEN,CLOSE, of which neither contains the other; got "
            + ", ".join(map(repr, texts))
        )
    return texts


Delimiters = Annotated[Texts, AfterValidator(check_delimiters)]


def check_greedy(temperature: float) -> float:
    """The same temperature; UserError for one that is neither 0 nor one of `Temperature`."""
    if 0 < temperature < COLDEST:
        raise UserError(f"temperature must be 0 (greedy decoding) or at least {COLDEST}, got {temperature:g}")
    return temperature


GreedyTemperature = Annotated[float, Field(ge=0, le=100), AfterValidator(check_greedy)]
DEVICE = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d{1,3})?")
APPLIES_TO = "applies_to"  # key of a setting's conditions, in the schema too


def check_device(device: str) -> str:
    """The same text; UserError unless it is ``auto`` or has the form of a PyTorch device."""
    if not DEVICE.fullmatch(device):
        raise UserError(f"device = {device!r} is not a PyTorch device; use auto, cpu, cuda or cuda:1")
    return device


Device = Annotated[str, AfterValidator(check_device)]
ENGINES = ("torch", "vllm", "vllm-server")


def is_url(engine: str) -> bool:
    """Whether an engine is a server that runs already."""
    return engine.startswith(("http://", "https://"))


def address_of(url: str) -> str:
    """The address of a server, which is one however it ends."""
    return url.rstrip("/").removesuffix("/v1")


def check_engine_name(engine: str) -> str:
    """The same text; UserError unless it names an engine or is the address of a server."""
    if engine not in ENGINES and not is_url(engine):
        raise UserError(f"engine = {engine!r} is not an engine; use torch, vllm, vllm-server or http://HOST:PORT")
    if is_url(engine):
        try:
            parts = urlsplit(engine)
            host, _ = (parts.hostname or "").encode("idna"), parts.port  # both refuse what cannot be connected to
        except ValueError as error:
            raise UserError(f"engine = {engine!r} is not an address ({error}); use http://HOST:PORT") from None
        if not host or not re.fullmatch(r"[!-~]+", engine) or set(engine) & set("@?#"):
            raise UserError(f"engine = {engine!r} is not the address of a server; use http://HOST:PORT")
    return engine


EngineName = Annotated[str, AfterValidator(check_engine_name)]
Conditions = Mapping[str, Sequence[JsonValue]]  # values of other settings; none: any but the default


def option(default: Any, text: str, *, applies_to: Conditions | None = None, **constraints: Any) -> Any:
    """A field with its help text; ``constraints`` are passed to `pydantic.Field`.

    The setting has an effect only if one of the conditions ``applies_to`` holds, which are in the schema too; otherwise
    a value that is not its default is refused.
    """
    extra: dict[str, JsonValue] = {APPLIES_TO: {name: list(values) for name, values in (applies_to or {}).items()}}
    return Field(default, description=text, json_schema_extra=extra if applies_to else None, **constraints)


class Config(BaseModel):
    """Base of all configurations: frozen, without unknown settings and without conversion between types.

    Raises UserError, in one line, for an unknown setting and for a value that is not allowed.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,  # help needs the fields only
    )
    several_processes: ClassVar[bool] = False  # whether torchrun may start the verb as several processes

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**{name: _plain(value) for name, value in settings.items()})
        except ValidationError as error:
            raise UserError(explain(error, type(self))) from None

    def typed(self) -> dict[str, str]:
        """Every setting as a user would type it; empty for None."""
        return {name: as_typed(value) for name, value in self}

    def extendable(self) -> tuple[str, ...]:
        """Settings that say only how long a run goes on: an unfinished run continues with larger values of them."""
        return ()

    @model_validator(mode="after")
    def _every_setting_applies(self) -> Self:
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and self._is_set(name):
                conditions: Any = extra[APPLIES_TO]
                if not any(self._holds(other, values) for other, values in conditions.items()):
                    raise UserError(self._does_not_apply(name, conditions))
        return self

    def _is_set(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    def _holds(self, name: str, values: Sequence[JsonValue]) -> bool:
        return getattr(self, name) in values if values else self._is_set(name)

    def _does_not_apply(self, name: str, conditions: Conditions) -> str:
        other = next(iter(conditions))
        now = as_typed(getattr(self, other))
        where = f"to {other}={now}" if now else f"without {other}"
        ways = [
            f"set {key}" + (f"={' or '.join(map(as_typed, values))}" if values else "")
            for key, values in conditions.items()
        ]
        theirs = [key for key in ELSEWHERE.get(name, ()) if key in type(self).model_fields]
        last = f"for TRL's {name} use {theirs[0]}" if theirs else "leave it out"
        return f"{name} does not apply {where}; {', or '.join([*ways, last])}"

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some settings, validated like a new one."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**given | changes)
