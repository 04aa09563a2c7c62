"""The forecast, in plain Python: what each open deal and each quarter will bring, how sure that is, and how right it
was before.

`frame` reads deals as they were known at each lock, `deals` learns from settled quarters what becomes of such deals,
`quarter` adds deals not yet created and the reps' calls and simulates the whole, `rolling` takes each lock with nothing
but what was known there, `scoring` makes the rows of a forecast, `backtest` holds past ones against what came, `bias`
reads the reps' habits, `store` keeps the results. Not here: when any of it runs (`defs/`), and what the published
tables mean (`dbt/models/forecast`).
"""

MODEL_VERSION = "2"  # goes up whenever the same inputs would be forecast otherwise; kept with every forecast
SEED = 20_240_101  # of the simulation, with the lock's date: a lock is drawn alike whenever it is drawn
