"""`python -m mcpserve` is the command line."""

from mcpserve.service.commands import main

if __name__ == "__main__":
    main()
