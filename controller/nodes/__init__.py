"""Media nodes: who holds one, commands to it, events from it, and the comparison of its state with the store's."""
