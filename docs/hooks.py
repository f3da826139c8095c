"""What the site (mkdocs.yml) has besides the pages of this folder.

The README as its first page, the changelog, the reference of the API from its OpenAPI document, and mermaid, which
draws the diagrams: that of the package mermaidx, as nothing is loaded from elsewhere.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from web.app import create_app
from web.openapi import curl

ROOT = Path(__file__).parents[1]
MERMAID = "assets/mermaid.js"

# As GitHub shows them, files and folders of the repository have links. The site has only pages.
_PAGE = re.compile(r"\]\((?:docs/)((?:[\w/-]+\.md|images/[\w.-]+)(?:#[\w-]+)?)\)")
_ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|[\w/-]+\.md|#|images/)[^)]*\)")


def on_files(found: Files, *, config: MkDocsConfig) -> Files:
    pages = {
        "index.md": _for_the_site((ROOT / "README.md").read_text()),
        "changelog.md": _for_the_site((ROOT / "CHANGELOG.md").read_text()),
        "reference.md": reference(),
        MERMAID: files("mermaidx").joinpath("assets/mermaid.js").read_bytes(),
    }
    for path, content in pages.items():
        found.append(File.generated(config, path, content=content))
    return found


def on_page_markdown(markdown: str, *, page: Any, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """The changelog is beside this folder, and a page of the site."""
    return markdown.replace("](../../CHANGELOG.md", "](../changelog.md")


def on_post_page(output: str, *, page: Any, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Only pages with a diagram load mermaid, which is large."""
    if 'class="mermaid"' not in output:
        return output
    up = "../" * page.url.count("/")
    return output.replace("</head>", f'<script src="{up}{MERMAID}"></script></head>', 1)


def _for_the_site(text: str) -> str:
    return _ELSEWHERE.sub(r"\1", _PAGE.sub(r"](\1)", text))


def reference() -> str:
    """The operations of the API, as Markdown."""
    # Neither is asked: nothing but the document is wanted.
    nobody: Any = None
    document = create_app(nobody, nobody).test_client().get("/openapi.json").get_json()
    environment = Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701 (it is Markdown)
    environment.globals |= {"curl": curl, "form": _form}
    return environment.from_string((ROOT / "docs" / "reference.md.jinja").read_text()).render(document=document)


def _form(schema: dict[str, Any]) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_form(part) for part in schema["anyOf"])
    if "items" in schema:
        return f"list of {_form(schema['items'])}"
    words = schema.get("enum") or [schema[name] for name in ("const",) if name in schema]
    return ", ".join(f"`{word}`" for word in words) or str(schema["type"])
