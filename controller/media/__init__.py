"""Audio: fetched from the addresses that apps name, kept on disk, and handed to the media nodes in one form."""
