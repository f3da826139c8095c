"""The console: its pages, and what they ask besides the REST API."""

from web.console.blueprint import console_pages

__all__ = ["console_pages"]
