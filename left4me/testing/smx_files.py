"""Writes compiled SourceMod plugins of the same shape as those of the real compiler: texts and needs, no code."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from overlays.plugins import smx


class _Memory:
    """The data of a plugin: texts and the structures that point to them."""

    def __init__(self) -> None:
        self.content = bytearray(4)

    def text(self, text: str) -> int:
        at = len(self.content)
        raw = text.encode() + b"\0"
        self.content += raw + bytes(-len(raw) % 4)
        return at

    def cells(self, values: Sequence[int]) -> int:
        at = len(self.content)
        self.content += b"".join(value.to_bytes(4, "little") for value in values)
        return at


def plugin(
    name: str = "Example",
    *,
    version: str = "1.0",
    author: str = "Somebody",
    description: str = "",
    url: str = "",
    plugins: Sequence[str] = (),
    extensions: Sequence[str] = (),
    is_compressed: bool = True,
) -> bytes:
    """A plugin with this `myinfo` that requires these files of other plugins and of extensions."""
    memory, names, variables = _Memory(), bytearray(), bytearray()

    def add(variable: str, at: int) -> None:
        nonlocal names, variables
        variables += smx.PAIR.pack(at, len(names))
        names += variable.encode() + b"\0"

    add("myinfo", memory.cells([memory.text(each) for each in (name, description, author, version, url)]))
    for file in plugins:
        library = file.partition(".")[0]
        add(f"__pl_{library}", memory.cells([memory.text(library), memory.text(file), 1]))
    for file in extensions:
        title = file.partition(".")[0]
        add(f"__ext_{title}", memory.cells([memory.text(title), memory.text(file), 1, 1]))
    size = len(memory.content)
    data = b"".join(value.to_bytes(4, "little") for value in (size, size + 16384, 12)) + bytes(memory.content)
    return _file(
        {".code": bytes(64), ".data": data, ".pubvars": bytes(variables), ".names": bytes(names)}, is_compressed
    )


def _file(sections: dict[str, bytes], is_compressed: bool) -> bytes:  # noqa: FBT001
    listing, titles, content = bytearray(), bytearray(), bytearray()
    titles_at = smx.HEADER.size + len(sections) * smx.SECTION.size
    start = titles_at + sum(len(name) + 1 for name in sections)
    for name, section in sections.items():
        listing += smx.SECTION.pack(len(titles), start + len(content), len(section))
        titles += name.encode() + b"\0"
        content += section
    body = zlib.compress(bytes(content)) if is_compressed else bytes(content)
    header = smx.HEADER.pack(
        smx.MAGIC,
        0x0102,
        smx.COMPRESSED if is_compressed else smx.UNCOMPRESSED,
        start + len(body),
        start + len(content),
        len(sections),
        titles_at,
        start,
    )
    return header + bytes(listing) + bytes(titles) + body
