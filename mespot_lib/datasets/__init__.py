"""Readers: one file per dataset layout."""
