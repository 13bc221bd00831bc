"""`python -m zooc`."""

from zooc.cli import main

main()
