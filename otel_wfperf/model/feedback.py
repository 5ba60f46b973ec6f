"""What findings turn into for the optimizers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A proposed change of one knob of one optimizer.

    Attributes:
        optimizer: Public name of the optimizer, such as ``workflow_cache``.
        knob: What to change.
        value: The proposed value.
    """

    optimizer: str
    knob: str
    value: str | int | float
