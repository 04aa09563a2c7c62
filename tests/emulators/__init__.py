"""Local servers that answer as Salesforce, HubSpot and Gong do, for the demo company as at a clock. Loopback only.

`base` has what they share: the server, the faults, the company. What an API says stands in its own module.
"""
