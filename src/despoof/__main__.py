"""`python -m despoof` is the command `despoof`."""

from despoof.cli import main

if __name__ == "__main__":
    main()
