"""The audio relay: what stands between the URLs of tenants and the media nodes.

A node plays nothing but URLs of a relay. `client` asks one to prepare a tenant's URL, and `relays` says which live.
A `relay` fetches the file (`origin`), keeps it (`cache`) and has it decoded (`decoders`, in a process of its own:
`decode`); apps take turns (`turns`), and a file that cannot be played has one of the `reasons`. `links` are the URLs
that a node gets.
"""
