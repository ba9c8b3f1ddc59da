"""`python -m central` is `invcentral`."""

from central.app import main

main()
