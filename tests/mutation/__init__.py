"""Mutation testing: change the package in one place, and see that a test fails."""
