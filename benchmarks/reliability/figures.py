"""All figures, in the order of their numbers. One file a figure; add it here."""

from __future__ import annotations

from typing import Final

from benchmarks.reliability import (
    figure_01_throughput,
    figure_02_endurance,
    figure_03_burst,
    figure_04_clients,
    figure_05_large_traces,
    figure_06_large_attributes,
    figure_07_in_app,
    figure_08_no_backend,
    figure_09_disk,
    figure_10_names,
    figure_11_outage,
    figure_12_refusals,
    figure_13_kill,
    figure_14_drain,
    figure_15_log,
    figure_16_faults,
    figure_17_order,
    figure_20_reload,
    figure_21_malformed,
    figure_22_partial_success,
    figure_23_access,
    figure_24_markup,
    figure_25_golden,
)
from benchmarks.reliability.figure import Figure

FIGURES: Final[tuple[Figure, ...]] = (
    figure_01_throughput.FIGURE,
    figure_02_endurance.FIGURE,
    figure_03_burst.FIGURE,
    figure_04_clients.FIGURE,
    figure_05_large_traces.FIGURE,
    figure_06_large_attributes.FIGURE,
    figure_07_in_app.FIGURE,
    figure_08_no_backend.FIGURE,
    figure_09_disk.FIGURE,
    figure_10_names.FIGURE,
    figure_11_outage.FIGURE,
    figure_12_refusals.FIGURE,
    figure_13_kill.FIGURE,
    figure_14_drain.FIGURE,
    figure_15_log.FIGURE,
    figure_16_faults.FIGURE,
    figure_17_order.FIGURE,
    figure_20_reload.FIGURE,
    figure_21_malformed.FIGURE,
    figure_21_malformed.LONG,
    figure_22_partial_success.FIGURE,
    figure_23_access.FIGURE,
    figure_24_markup.FIGURE,
    figure_25_golden.FIGURE,
)
