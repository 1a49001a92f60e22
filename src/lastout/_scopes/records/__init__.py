"""Records: what is written down of a scope, and what follows from it.

Tested by: tests/shared/test_journal.py
"""
