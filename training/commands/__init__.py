"""The commands of `odetrain`, one file each. They import torch when they run: --help does not wait for it."""
