"""Pages for people taken apart, and texts that must do nothing in them."""

from html.parser import HTMLParser

HOSTILE = [
    "</title></style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ manifest }} {% load static %}",
    "<!-- ]]> --><b>&lt;i&gt;",
    "javascript:alert(1)",
    "safe\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe\N{LEFT-TO-RIGHT ISOLATE}",
    "line\N{LINE SEPARATOR}\x1b[31m\x00\ud800",
    "W" * 190,
]
VOID = {"meta"}

Tag = tuple[str, tuple[tuple[str, str | None], ...]]


class Page(HTMLParser):
    """A page taken apart: its tags with their attributes, which of them are open, and the text in each kind of tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text(self, *within: str) -> str:
        return " ".join(" ".join(text for tag, text in self.texts if not within or tag in within).split())

    def attributes(self, name: str) -> list[str | None]:
        return [value for _, attributes in self.tags for key, value in attributes if key == name]
