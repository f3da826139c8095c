"""The REST API: Flask over the controller."""
