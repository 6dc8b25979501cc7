"""The base of all configurations, and the types of their settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from rlready.core.errors import UserError
from rlready.core.explain import explain

T = TypeVar("T")
Share = Annotated[float, Field(ge=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]


if TYPE_CHECKING:
    Preset = Annotated[T, "None until resolved"]  # code that computes with a configuration gets a resolved one
else:
    Preset = Optional


def _tuple_of(kind: Callable[[str], Any]) -> BeforeValidator:
    """Convert lists to tuples, and split a text, as given on the command line, at its commas."""

    def convert(value: object) -> object:
        if isinstance(value, str):
            try:
                return tuple(kind(part.strip()) for part in value.split(",") if part.strip())
            except ValueError:
                return value
        return tuple(value) if isinstance(value, list) else value

    return BeforeValidator(convert)


Texts = Annotated[tuple[str, ...], _tuple_of(str)]
PositiveInts = Annotated[tuple[PositiveInt, ...], _tuple_of(int)]
NonNegativeInts = Annotated[tuple[NonNegativeInt, ...], _tuple_of(int)]
Floats = Annotated[tuple[float, ...], _tuple_of(float)]
InnerShares = Annotated[tuple[InnerShare, ...], _tuple_of(float)]


def check_delimiters(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The same texts; UserError unless there are none, or two different ones."""
    if texts and (len(texts) != 2 or not all(texts) or texts[0] == texts[1]):
        raise UserError(f"delimiters must be two different texts, OPEN,CLOSE; got {', '.join(map(repr, texts))}")
    return texts


Delimiters = Annotated[Texts, AfterValidator(check_delimiters)]


def option(default: Any, text: str, **constraints: Any) -> Any:
    """A field with its help text; ``constraints`` are passed to `pydantic.Field`."""
    return Field(default, description=text, **constraints)


DENSE = {"algorithm": "dense"}  # marks a setting of rl, in the schema too, that other algorithms do not take


def dense_option(default: Any, text: str, **constraints: Any) -> Any:
    """As `option`, for a setting that applies to ``algorithm=dense`` only."""
    return option(default, text, json_schema_extra=dict(DENSE), **constraints)


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

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise UserError(explain(error, type(self))) from None

    def extendable(self) -> tuple[str, ...]:
        """Settings that say only how long a run goes on: an unfinished run continues with larger values of them."""
        return ()

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some settings, validated like a new one."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**given | changes)
