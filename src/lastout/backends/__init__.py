"""Where members meet: named scopes, each with one lock, and journals with a lock each.

Tested by: tests/backends/test_base.py
"""
