"""Recordings as files: from the node that has written one to the app that wants it.

A node sends the file of a recording to a relay (`places` says to which), which keeps it in a `folder`, after the head
of its `wav` was mended. From there the app fetches it, or it is sent to the app's URL (`upload`). A `keeper` does what
is due of the files in a folder.
"""
