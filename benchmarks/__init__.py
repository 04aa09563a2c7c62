"""What a whole run costs beside the least it could: the real job against a hand-written floor, table by table equal.

Here: measuring, the floor, the comparison. Not here: tests that must pass (`tests/`).
"""
