"""The Salesforce source: an organisation's own records by its API, in the shapes of `shapes.py`. It only reads.

`source` puts it together, `access` logs in, `api` asks, `objects` lists what is read and `streams` how. Nothing is
imported here: who needs the shapes alone loads no HTTP.
"""
