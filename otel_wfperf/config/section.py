"""What every mapping of the configuration has in common."""

import re

from pydantic import BaseModel, ConfigDict


def key_of(field_name: str) -> str:
    """Return the key of a field: its name without the unit."""
    return re.sub(r"_(s|bytes)$", "", field_name)


class Section(BaseModel):
    """One mapping of the file: immutable, unknown keys refused, keys without their unit."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=key_of, populate_by_name=True, use_attribute_docstrings=True
    )
