"""Guardian: a process of its own that reaps a scope, and how members come to have one.

Tested by: tests/shared/test_guardian.py
"""
