"""Media nodes: who holds one, commands to it, events from it, and the audit of its state."""
