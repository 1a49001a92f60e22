"""Records: the journals of a scope, and conclusions from them.

Tested by: tests/shared/test_journal.py
"""
