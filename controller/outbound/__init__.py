"""Connections to where tenants say: only to addresses of the public internet."""
