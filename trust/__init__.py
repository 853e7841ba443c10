"""Checks of what docs/explain/trust.md promises: small counts in the tests, full ones in `make trust`."""
