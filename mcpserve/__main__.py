"""`python -m mcpserve` is the program `mcpserve`."""

from mcpserve.cli.entry import main

if __name__ == "__main__":
    main()
