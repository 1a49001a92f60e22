"""Membership: this process in one scope, from joining to leaving.

Tested by: tests/shared/test_scope.py
"""
