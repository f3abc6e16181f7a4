"""What is left to do is what a set of all rows says, and no id passes twice."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import despoof.batch.plan as module
from despoof.batch.manifest import Listing
from despoof.batch.plan import Plan
from despoof.errors import ArtefactError, InputError

pytest.importorskip("pyarrow")


def listing(folder, names):
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "path"), *((name, f"/{name}.jpg") for name in names)])
    return Listing(str(folder / "rows.csv"), id="id")


def entries(names):
    return [(str(name), f"/{name}.jpg") for name in names]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 300), unique=True, min_size=1), st.sets(st.integers(0, 300)), st.integers(1, 40))
def test_it_is_what_a_set_says(tmp_path_factory, names, done, flush):
    folder = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FLUSH", flush)
        with Plan(listing(folder, names), [entries(done)], folder) as plan:
            assert list(plan.left()) == entries(name for name in names if name not in done)
            assert (plan.rows, plan.rest) == (len(names), len(set(names) - done))
            assert plan.gone == len(done - set(names))
    assert [path.name for path in folder.iterdir()] == ["rows.csv"]


def test_an_id_that_comes_twice_is_named_with_its_rows(tmp_path):
    with pytest.raises(InputError, match="id '7' of row 9002 is that of row 8 too"):
        Plan(listing(tmp_path, [*range(9001), 7]), [], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_an_id_of_another_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="id '3' was scored from another file than /3.jpg"):
        Plan(listing(tmp_path, range(9)), [[("3", "/other.jpg")]], tmp_path)


def test_shards_that_hold_a_row_twice_are_refused(tmp_path):
    with pytest.raises(ArtefactError, match="twice"):
        Plan(listing(tmp_path, range(9)), [entries([3]), entries([3])], tmp_path)


def test_a_manifest_that_changes_on_the_way_is_noticed(tmp_path):
    """Its rows are counted, so one that came in between would shift all that follow."""
    with Plan(listing(tmp_path, range(5000)), [entries(range(4990))], tmp_path) as plan:
        listing(tmp_path, [*range(4000), 9999, *range(4000, 5000)])
        with pytest.raises(InputError, match="changed while it was read"):
            list(plan.left())
