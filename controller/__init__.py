"""What a conference controller does: state, commands, events, webhooks. Knows no HTTP framework."""
