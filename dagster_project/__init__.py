"""The sales-management warehouse: when things run and in what order.

What the numbers mean stands in `dbt/`, what must hold before the forecast may speak in `expectations/`.
"""
