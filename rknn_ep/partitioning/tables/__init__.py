"""The capability tables: data only. See README.md beside this file for their format and provenance."""
