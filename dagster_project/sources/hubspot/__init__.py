"""HubSpot, read through its public API; nothing is ever written there.

`shapes` says what lands, `objects` what is asked for, `streams` how, `crm` has the endpoints, `access` the settings.
"""
