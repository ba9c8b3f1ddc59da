"""`python -m invctl` is `invctl`."""

from invctl.cli.app import main

main()
