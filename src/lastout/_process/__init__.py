"""Nothing to change here: a line for each former file of `_exits` that journals may name.

Tested by: tests/shared/test_upgrades.py
"""
