"""Leaks: find things that a test leaves behind, for `--lastout-leaks`.

Tested by: tests/pytest_plugin/test_leaks.py
"""
