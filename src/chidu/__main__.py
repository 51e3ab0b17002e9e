"""`python -m chidu`."""

from chidu.cli import main

if __name__ == "__main__":
    main()
