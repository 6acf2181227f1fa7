"""Count words that make technical English hard to read: pronouns without a noun, and two literary turns.

`python -m docs.count_words` prints how many there are in 1,000 words of docstrings and of documents, and exits with 1
if either rate is above 4.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from docs.markdown_text import prose, tracked_files

MAX_PER_THOUSAND = 4.0
CODE_DIRS = ("framewise", "service", "model_training", "tests", "benchmarks", "fuzz", "samples", "docs", "requirements")

_WORD = re.compile(r"[^\W\d_][\w'-]*")
_HARD_TO_READ = re.compile(r"\b(what|whoever|nobody|somebody|anybody|those|others|for\s+ever|anew)\b", re.IGNORECASE)


def num_words(text: str) -> int:
    """Count the words of `text`; numbers alone are no words."""
    return len(_WORD.findall(text))


def hard_words(text: str) -> Counter[str]:
    """Count the words that this check limits, in lower case."""
    return Counter(" ".join(word.lower().split()) for word in _HARD_TO_READ.findall(text))


def docstrings(source: str) -> Iterator[str]:
    """Find the docstrings of a module, its classes, functions and attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def per_thousand(texts: Iterable[str]) -> tuple[float, Counter[str]]:
    """Return the limited words in 1,000 words of `texts`, and how often each of them occurs."""
    total, hard = 0, Counter[str]()
    for text in texts:
        total += num_words(text)
        hard += hard_words(text)
    return (1000 * hard.total() / total if total else 0.0), hard


def main() -> int:
    """Print both rates; return 1 if one of them is too high."""
    code = tracked_files(*(f"{folder}/*.py" for folder in CODE_DIRS))
    kinds = {
        "docstrings": (text for path in code for text in docstrings(path.read_text(encoding="utf-8"))),
        "documents": (prose(path.read_text(encoding="utf-8")) for path in tracked_files("*.md")),
    }
    status = 0
    for kind, texts in kinds.items():
        rate, hard = per_thousand(texts)
        counted = ", ".join(f"{word} {count}" for word, count in hard.most_common())
        print(f"{kind}: {rate:.1f} in 1,000 words, at most {MAX_PER_THOUSAND:.0f} ({counted})")
        if rate > MAX_PER_THOUSAND:
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
