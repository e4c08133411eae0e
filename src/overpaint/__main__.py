"""`python -m overpaint`: the command, where its name is not on the path."""

from overpaint.cli import main

if __name__ == "__main__":
    main()
