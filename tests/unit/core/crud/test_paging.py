"""Query parameters and cursors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from core.crud.errors import InvalidRequest
from core.crud.paging import Filter, ListQuery, apply, parse_query
from core.models.entities import ENTITY_ROWS

FILTERS = ("name",)


def test_defaults_and_unknown_parameters():
    assert parse_query(FILTERS, []) == ListQuery(100)
    assert parse_query(FILTERS, [("size", ""), ("offset", ""), ("tags", ""), ("bogus", "1")]) == ListQuery(100)


def test_everything_at_once():
    parameters = [("size", "7"), ("tags", "a,b"), ("filter[name][eq]", "x"), ("filter[name][contains]", "y")]
    filters = (Filter("name", "eq", "x"), Filter("name", "contains", "y"))
    assert parse_query(FILTERS, parameters) == ListQuery(7, None, ("a", "b"), any_tag=False, filters=filters)
    assert parse_query(FILTERS, [("tags", "a/b")]).any_tag


@given(st.text(max_size=60))
def test_no_cursor_crashes(offset):
    row = next(iter(ENTITY_ROWS.values()))
    try:
        apply(select(row), row, ListQuery(offset=offset or "x"))
    except InvalidRequest:
        return


@given(
    st.lists(
        st.tuples(st.sampled_from(["size", "tags", "filter[name][eq]", "filter[", "filter[]"]), st.text(max_size=9))
    )
)
def test_no_parameters_crash(parameters):
    try:
        parse_query(FILTERS, parameters)
    except InvalidRequest:
        return


@pytest.mark.parametrize("name", ["filter[host][eq]", "filter[name][gt]", "filter[name][eq][x]", "filter[]"])
def test_filters_that_mean_nothing(name):
    with pytest.raises(InvalidRequest):
        parse_query(FILTERS, [(name, "x")])
