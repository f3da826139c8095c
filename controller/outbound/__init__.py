"""Connections to hosts that tenants name, only at addresses of the public internet.

`addresses` says which those are, `target` takes a URL apart, and `network` connects to what was checked.
"""
