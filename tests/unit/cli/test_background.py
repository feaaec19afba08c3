import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from octopus_graph.cli.background import in_background

VALUE: ContextVar[int] = ContextVar("VALUE", default=0)


def test_items_come_in_order_as_they_are_made() -> None:
    taken = threading.Event()

    def produce() -> Iterator[int]:
        yield 1
        assert taken.wait(10), "the first item was held back"
        yield 2

    items = in_background(produce)

    assert next(items) == 1
    taken.set()
    assert list(items) == [2]


@pytest.mark.parametrize("error", [ValueError("late"), SystemExit(3)])
def test_an_error_comes_after_what_was_made_before_it(error: BaseException) -> None:
    def produce() -> Iterator[int]:
        yield 1
        raise error

    items = in_background(produce)

    assert next(items) == 1
    with pytest.raises(type(error)) as raised:
        next(items)
    assert raised.value is error


def test_the_thread_is_another_one_sees_the_context_and_holds_nobody_up() -> None:
    VALUE.set(7)

    (seen,) = in_background(lambda: [(VALUE.get(), threading.current_thread())])

    assert seen[0] == 7
    assert seen[1] is not threading.current_thread()
    assert seen[1].daemon
