"""Pictures of the rows that one wants to see: an expression of columns -> a filter, by its syntax tree; nothing of it
is ever run.
"""

import ast
import operator
import re
from collections.abc import Iterator
from functools import partial, reduce
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from despoof.batch.judging import How, pictures
from despoof.batch.shards import QUALITY, Row, Shards, schema
from despoof.data.place import arrow
from despoof.errors import ConfigError
from despoof.runs.folder import atomic_path
from despoof.runs.pool import Lost, Pool

if TYPE_CHECKING:
    from pyarrow.compute import Expression

COMPARISONS = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
EXPECTED = (
    "expected columns compared with texts, numbers or None, joined by and, or, not. Example: decision != 'LIVE' and "
    "liveness < 0.3 and quality.size > 100 and 'no_face' not in reasons"
)


def parse(text: str) -> "Expression":
    """Return the filter of pyarrow that an expression says, or a ConfigError.

    Columns are those of `despoof.batch.shards.schema`, `quality.size` and so on, and `'name' in reasons`. A comparison
    with what a row has not is not true of it, nor is its contrary.
    """
    try:
        found = _condition(ast.parse(text.strip(), mode="eval").body)
        schema().empty_table().filter(found)  # texts and numbers do not compare
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, NotImplementedError) as error:
        raise ConfigError(f"{text!r} ({error}); {EXPECTED}") from None
    return found


def save_pictures(
    where: "Expression", shards: Shards, how: How, wanted: str, pool: Pool
) -> Iterator[Path]:  # fmt: skip
    """Write pictures of what was judged to OUT/pictures, of the rows that a filter takes, and yield their paths.

    Files are judged again for it, and those that have a picture are left out. Names begin with the row's id.
    """
    folder = shards.folder.parent / "pictures"
    for row, found in pool.outcomes(partial(pictures, how, wanted), _unseen(where, shards, folder)):
        for suffix, data in () if isinstance(found, Lost) else found:
            path = folder / f"{_stem(row.id)}{suffix}.png"
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
            yield path


def _unseen(where: "Expression", shards: Shards, folder: Path) -> Iterator[Row]:
    scored = arrow().compute.field("error").is_null()
    for batch in shards.batches(["id", "uri"], where & scored):
        for row in (Row(**each) for each in batch.to_pylist()):
            if not any((folder / f"{_stem(row.id)}{suffix}.png").exists() for suffix in ("", "-timeline")):
                yield row


def _stem(name: str) -> str:
    """Return a file's name that begins as an id does, without what file systems refuse, and is its alone."""
    plain = re.sub(r"[^\w.-]+", "-", name)[-80:].lstrip(".-")
    return f"{plain}-{blake2b(name.encode(), digest_size=4).hexdigest()}"


def _condition(node: ast.expr) -> "Expression":
    if isinstance(node, ast.BoolOp):
        join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        return reduce(join, map(_condition, node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_condition(node.operand)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = [_compared(*each) for each in zip(sides[:-1], node.ops, sides[1:], strict=True)]
        return reduce(operator.and_, pairs)
    raise ValueError(f"{ast.unparse(node)} is no comparison")


def _compared(left: ast.expr, how: ast.cmpop, right: ast.expr) -> "Expression":
    compute = arrow().compute
    if isinstance(how, ast.In | ast.NotIn):
        if isinstance(right, ast.Name) and right.id == "reasons":
            pattern = f"(^|,){re.escape(str(_constant(left)))}(,|$)"
            found = compute.match_substring_regex(compute.binary_join(compute.field("reasons"), ","), pattern)
        else:
            found = _column(left).isin([_constant(each) for each in getattr(right, "elts", ())])
        return found if isinstance(how, ast.In) else ~found
    if isinstance(how, ast.Is | ast.IsNot) and _constant(right) is None:
        return _column(left).is_null() if isinstance(how, ast.Is) else _column(left).is_valid()
    if type(how) not in COMPARISONS:
        raise ValueError(f"{type(how).__name__} compares nothing here")
    return COMPARISONS[type(how)](_side(left), _side(right))


def _side(node: ast.expr) -> "Expression":
    """Return a column or a constant; a sign before a number is part of it."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return arrow().compute.scalar(-_constant(node.operand))
    return arrow().compute.scalar(_constant(node)) if isinstance(node, ast.Constant) else _column(node)


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
        return node.value
    raise ValueError(f"{ast.unparse(node)} is no text and no number")


def _column(node: ast.expr) -> "Expression":
    compute = arrow().compute
    names = ast.unparse(node).split(".")
    known = [[name] for name in schema().names if name not in ("quality", "reasons", "milliseconds")]
    if names not in [*known, *(["quality", name] for name in QUALITY)]:
        raise ValueError(f"{ast.unparse(node)} is no column to compare")
    return compute.field(*names)
