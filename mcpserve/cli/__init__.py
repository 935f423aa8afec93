"""The command line: `mcpserve`, which is also `python -m mcpserve`."""
