"""Everything Dagster sees: a table of contents. What is in a room stands in the room."""

import dagster as dg

from dagster_project.defs import automation, forecast, ingest, levers, publish, quality, resources, transform

ROOMS = (ingest, quality, transform, levers, forecast, publish, automation, resources)

defs = dg.Definitions.merge(*(room.defs for room in ROOMS))
