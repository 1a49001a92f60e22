"""Where files of `_exits` lay in a former version: a line leads to each that journals may name.

Tested by: tests/shared/test_upgrades.py
"""
