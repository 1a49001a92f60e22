"""Fixtures that all workers of a pytest-xdist run share, and the scope of the run.

Tested by: tests/pytest_plugin/test_shared.py
"""
