"""Guardian: a separate process that reaps a scope, and the code by which members start it.

Tested by: tests/shared/test_guardian.py
"""
