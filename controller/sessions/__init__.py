"""Sessions: the flags of a member, such as muted."""
