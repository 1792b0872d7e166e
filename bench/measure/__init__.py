"""What run.py and .ci/counts measure with: a module for each mode, and below them servers, cases and clients."""
