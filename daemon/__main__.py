"""`python -m daemon` is `invd`."""

from daemon.app import main

main()
