"""The passes of graph normalisation, one a file, each with what it requires and ensures."""
