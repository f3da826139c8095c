"""The `switchroom` command: the top of the layers, which alone knows all of them."""
