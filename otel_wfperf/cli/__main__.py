"""``python -m otel_wfperf.cli``."""

import sys

from otel_wfperf.cli.main import main

sys.exit(main())
