"""The input group of settings: the mapping from records to readings."""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from eddycast.service.mapping.conditions import Condition, conditions
from eddycast.service.mapping.pointers import Pointer
from eddycast.service.mapping.presets import FORMATS, PRESETS
from eddycast.service.mapping.sources import Source, source
from eddycast.service.mapping.templates import CHANNEL_MARK, Template
from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.group import Group, require
from eddycast.service.settings.input_parsers import EXAMPLES, PARSERS

#: Codes for a missing value: one tuple per channel.
_Codes = tuple[tuple[float, ...], ...]


class InputSettings(Group):
    """Conversion of records to readings."""

    preset: str | None = Field(
        None, description="Mapping of a well-known sender, as telegraf; docs/input.md lists all"
    )
    format: Literal["json", "avro", "senml", "influx", "text"] = Field(
        "json",
        description="Format of values: json, avro (needs schema_registry.url), senml, influx (line "
        "protocol), or text = a number and nothing else",
    )
    framing: Literal["confluent"] | None = Field(
        None,
        description="confluent = JSON behind a schema id of a registry, which is removed",
    )
    envelope: Literal["connect", "cloudevents"] | None = Field(
        None, description="Envelope around the document: that of Kafka Connect, or of CloudEvents"
    )
    each: str | None = Field(
        None,
        description="Where the readings are in a record that has several, as /readings/*; a record "
        "without them is a reading itself",
    )
    stream: str = Field(
        "{key}",
        description="Name of the stream, with places of the record in braces, as "
        "{/tags/host}/{name}",
    )
    channel: str | None = Field(
        None,
        description="Name of a number's channel, where those of a stream come one by one, as "
        "{/measurement}",
    )
    channels: str | None = Field(
        None,
        description="Names that input.channel has, in the order of the model's channels; numbers "
        "of others are filtered",
    )
    value: str = Field(
        "/value", description="Where the number is, as /payload/temp; several are the channels"
    )
    fields: str | None = Field(
        None,
        description="In place of input.value: where numbers are of which each is a stream of its "
        "own, as /fields/* or /temperature, /humidity",
    )
    timestamp: str = Field(
        "/timestamp, record",
        description="Where the time is: a field, header.NAME, or record; the first one that exists",
    )
    timestamp_unit: str = Field(
        "ms",
        description="Unit or format of times: auto, s, ms, us, ns, iso, or a format of strptime",
    )
    zone: str = Field("UTC", description="Time zone of times without one, as Europe/Berlin")
    where: str | None = Field(
        None,
        description="Pass over records that do not meet these conditions, as /type = reading and "
        "header.site != test",
    )
    streams: str | None = Field(
        None, description="Serve these streams only, as plant1/*, !*/test; none = all"
    )
    missing: str | None = Field(
        None, description='Words that mean a missing value, as unavailable, unknown, NaN, ""'
    )
    codes: str = Field(
        "bundle",
        description="Treat these numbers as missing values beside the bundle's own codes, as "
        "-999,-9999; none = ignore the bundle's codes",
    )
    lenient_numbers: bool = Field(False, description='Read numbers that are text, as "21.4"')
    booleans: bool = Field(False, description="Read true and false as 1 and 0")
    units: bool = Field(False, description='Read numbers with a unit, as "21.4 °C"')

    @property
    def is_plain(self) -> bool:
        """True if records have the default shape."""
        return self.model_copy(update={"codes": "bundle"}) == InputSettings()

    @property
    def has_numbers_only(self) -> bool:
        """True if nothing but JSON's numbers and null is read as a number."""
        return not (self.lenient_numbers or self.booleans or self.units or self.missing)

    @property
    def chosen_each(self) -> Pointer | None:
        """Pointer to the readings, None = a record is one reading."""
        return None if self.each is None else Pointer.parse(self.each)

    @property
    def chosen_stream(self) -> Template:
        """Template of stream names; with `channel` the name of the channel follows a mark."""
        if self.channel is None:
            return Template.parse(self.stream)
        return Template.parse(f"{self.stream}{CHANNEL_MARK}{self.channel}")

    @property
    def chosen_channels(self) -> tuple[str, ...]:
        """Names of the channels that are joined, () = none."""
        return listed(self.channels or "")

    @property
    def width(self) -> int:
        """Number of channels that the settings name."""
        if self.channels is None and self.fields is not None:
            return 1
        return max(1, len(self.chosen_channels), len(self.chosen_values))

    @property
    def chosen_values(self) -> tuple[Pointer, ...]:
        """Pointers to the channels."""
        return tuple(map(Pointer.parse, listed(self.value)))

    @property
    def chosen_fields(self) -> tuple[Pointer, ...]:
        """Pointers to numbers that are streams of their own, () = none."""
        return tuple(map(Pointer.parse, listed(self.fields or "")))

    @property
    def chosen_timestamps(self) -> tuple[Source, ...]:
        """Places of the time stamp, in order of preference."""
        return tuple(map(source, listed(self.timestamp)))

    @property
    def chosen_conditions(self) -> tuple[Condition, ...]:
        """Conditions that a reading has to meet."""
        return () if self.where is None else conditions(self.where)

    @property
    def chosen_words(self) -> tuple[str, ...]:
        """Words for a missing value."""
        return tuple("" if word in ('""', "''") else word for word in listed(self.missing or ""))

    def chosen_codes(self, bundle: _Codes, channels: int) -> _Codes:
        """Codes for a missing value by channel, in place of the `bundle`'s.
        Raises ValueError for a word that is no number."""
        words = set(listed(self.codes))
        further = {float(word) for word in words - {"bundle", "none"}}
        if not all(map(isfinite, further)):
            raise ValueError("a code is a finite number")
        own = ((),) * channels if "none" in words or not bundle else bundle
        return tuple(tuple(sorted(further.union(codes))) for codes in own)

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        """Add the settings of the preset and the format."""
        if not isinstance(given, dict):
            return given
        given = {name: _joined(name, value) for name, value in given.items()}
        preset = given.get("preset")
        require(preset is None or preset in PRESETS, f"input.preset is one of {', '.join(PRESETS)}")
        given = PRESETS.get(preset or "", {}) | given
        given = FORMATS.get(given.get("format", "json"), {}) | given
        if given.get("fields") is not None:
            given = {"stream": "{key}" if given.get("channel") else "{key}/{field}"} | given
        return given

    @field_validator(*EXAMPLES)
    @classmethod
    def _is_understood(cls, text: str | None, info: Any) -> str | None:
        if text is not None:
            try:
                PARSERS[info.field_name](text)
            except Exception as error:  # noqa: BLE001 - ZoneInfo raises anything for a wrong name
                why = str(error) if type(error) is ValueError else f"{text!r} is unknown"
                raise ValueError(f"{why}; write it as {EXAMPLES[info.field_name]}") from None
        return text

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        try:
            self.chosen_codes((), 1)
        except ValueError:
            raise ValueError(
                "input.codes must be numbers, none or bundle, separated by commas"
            ) from None
        require(
            (self.channel is None) == (self.channels is None),
            "input.channel and input.channels belong together",
        )
        require(
            self.channel is None or len(self.chosen_values) == 1,
            "input.value names several channels, so input.channel has no use",
        )
        template, fields = self.chosen_stream, self.chosen_fields
        require(
            not fields or template.names("field"),
            "input.stream must contain {field} if input.fields is set, as {key}/{field}",
        )
        require(
            bool(fields) or not template.names("field"),
            "input.stream contains {field}, so input.fields must be set, as /fields/*",
        )
        numbers = [int(place.name) for place in template.sources if place.name.isdigit()]
        stars = 0 if self.each is None else self.each.split("/").count("*")
        require(
            max(numbers, default=0) <= stars,
            f"input.stream contains {{{max(numbers, default=0)}}}, but input.each has {stars} *",
        )
        return self


def _joined(name: str, value: Any) -> Any:
    """A list of a TOML file as the text of a setting."""
    if not isinstance(value, list):
        return value
    return (" and " if name == "where" else ", ").join(map(str, value))
