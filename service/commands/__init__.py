"""The commands of `odeserve`, one file each. They import the server and numpy when they run: --help waits for none."""
