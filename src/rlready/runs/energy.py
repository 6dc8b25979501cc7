"""The energy of a run and its emissions, measured by codecarbon (``pip install 'rlready[codecarbon]'``).

Measured only where the environment variable ``RLREADY_CARBON`` names the country whose power mix applies, as its
three-letter code, such as DEU; nothing is looked up in the network.  codecarbon reads the counters of processors and
GPUs where there are any, and otherwise estimates their power; it takes the share of this process on the processors, and
whole GPUs.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from typing import TYPE_CHECKING

from rlready.core.errors import UserError
from rlready.runs.record import Energy

if TYPE_CHECKING:
    from codecarbon.output_methods.emissions_data import EmissionsData

COUNTRY = "RLREADY_CARBON"
EVERY = 15  # seconds between measurements


class EnergyMeter:
    """Measures from its construction to `stop`; ``energy`` is what was used up to the last measurement."""

    energy: Energy | None = None

    def __init__(self, country: str) -> None:
        try:
            from codecarbon import OfflineEmissionsTracker
            from codecarbon.input import DataSource
            from codecarbon.output_methods.base_output import BaseOutput
        except ImportError:
            raise UserError(f"{COUNTRY}={country} needs codecarbon: pip install 'rlready[codecarbon]'") from None
        if country not in DataSource().get_global_energy_mix_data():
            raise UserError(f"{COUNTRY}={country}: codecarbon knows no such country; use three letters, such as DEU")
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # the tracker sets its level later
        tool, meter = f"codecarbon {version('codecarbon')}", self

        class Output(BaseOutput):  # type: ignore[misc]
            def out(self, total: EmissionsData, delta: EmissionsData) -> None:
                meter.energy = Energy(kwh=total.energy_consumed, kg_co2e=total.emissions, country=country, tool=tool)

            live_out = out

        self._tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            measure_power_secs=EVERY,
            api_call_interval=1,
            tracking_mode="process",
            output_methods=[],
            output_handlers=[Output()],
            log_level="critical",
            allow_multiple_runs=True,
        )
        self._tracker.start()

    def stop(self) -> None:
        """Measure once more, and end."""
        self._tracker.stop()


def start_meter() -> EnergyMeter | None:
    """A meter where the environment asks for one; UserError without codecarbon, or for a country that is unknown."""
    country = os.environ.get(COUNTRY)
    return EnergyMeter(country) if country else None
