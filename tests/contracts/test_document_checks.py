"""The checks of the documentation: links, headings and words."""

from pathlib import Path

import pytest

from docs.check_links import broken_links
from docs.count_words import docstrings, hard_words, num_words, per_thousand
from docs.markdown_text import anchors, prose, relative_links

DOCUMENT = """# The sandbox

See [limits](limits.md#at-a-glance "Limits"), [the site](https://example.org/what) and ![](picture.png).

```
[code](missing.md) is what nobody checks
```

Inline `[code](missing.md)` is skipped too. <!-- somebody -->

[reference]: other.md
"""


def test_relative_links_are_found_outside_code() -> None:
    assert [link.target for link in relative_links(DOCUMENT)] == ["limits.md#at-a-glance", "picture.png", "other.md"]
    assert all(DOCUMENT[link.start : link.end] == link.target for link in relative_links(DOCUMENT))


def test_anchors_follow_the_rule_of_github() -> None:
    text = "# What's `POST /jobs`?\n## Twice\n## Twice\n```\n# comment\n```\n### [Link](a.md) *here*\n"
    assert anchors(text) == {"whats-post-jobs", "twice", "twice-1", "link-here"}


def test_a_broken_link_is_reported_with_its_line_and_reason(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One heading\n")
    document = tmp_path / "document.md"
    document.write_text("# Top\n[a](there.md#one-heading) [b](#top)\n[c](there.md#two)\n[d](gone.md)\n")
    assert list(broken_links(document)) == [
        f"{document}:3: there.md#two: no such heading",
        f"{document}:4: gone.md: no such file",
    ]


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("What nobody wants: those others.", {"what": 1, "nobody": 1, "those": 1, "others": 1}),
        ("It waits for\never, then starts anew.", {"for ever": 1, "anew": 1}),
        ("Whatever the otherwise renewed thoseness", {}),
    ],
)
def test_limited_words_are_counted_whole_and_in_any_case(text: str, counted: dict[str, int]) -> None:
    assert hard_words(text) == counted


def test_numbers_alone_are_no_words() -> None:
    assert num_words("The model's 3 frames are 8-bit, e.g. uint8.") == 8


def test_docstrings_of_attributes_count_and_other_strings_do_not() -> None:
    source = '"""Module."""\nLIMIT = "not this"\n"""Attribute."""\n\n\ndef run() -> None:\n    """Function."""\n'
    assert sorted(docstrings(source)) == ["Attribute.", "Function.", "Module."]


def test_code_comments_and_link_targets_are_no_prose() -> None:
    assert hard_words(prose(DOCUMENT)) == {}


def test_the_rate_is_per_thousand_words() -> None:
    rate, counted = per_thousand(["word " * 499 + "what", "word " * 499 + "anew"])
    assert rate == pytest.approx(2)
    assert counted == {"what": 1, "anew": 1}
