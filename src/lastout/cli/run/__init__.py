"""`lastout run`: a program in a scope, its signals, its terminal, and all that it started.

Tested by: tests/cli/test_run.py
"""
