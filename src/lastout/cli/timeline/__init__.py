"""The picture of a scope: its journals are recorded, read as a history, and drawn.

Tested by: tests/cli/test_timeline.py
"""
