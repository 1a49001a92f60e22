"""Kinds of artifacts: how each is made, and how it is cleaned from its record alone.

To add a new one: its file, and a row in `table.py`.

Tested by: tests/shared/test_cleaners.py
"""
