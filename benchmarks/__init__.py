"""What prints figures: quality, cold starts, cost against quality, and the controls that must hold. `python -m
benchmarks --help`.
"""
