"""The sales-management warehouse: when things run and in what order.

What the numbers mean stands in `dbt/`, what must hold before the forecast may speak in `expectations/`.
"""

import os

# Read once, when numpy is first loaded. The forecast's matrices are small: threads would mostly wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
