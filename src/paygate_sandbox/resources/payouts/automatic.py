"""A payout that Stripe makes by itself: of all that is available, with lines that tell of what.

It must never change a row, only whose line it is.
"""

from dataclasses import replace
from typing import Final

from paygate_sandbox.books import Books
from paygate_sandbox.resources.payouts.payout import Terms, begin, complete
from paygate_sandbox.store.objects import Record

# The timers of lines that are known later than their payout.
SHOW_SOME: Final = "show_payout_lines"
SHOW_ALL: Final = "complete_payout_lines"
_HOUR: Final = 3_600
_SOME: Final = (3, 5)


def pay_out(books: Books, terms: Terms, *, lines_in_hours: int, but: str | None = None) -> Record:
    """A payout of what is available in a currency, one row left out where `but` names it.

    Its lines are known in so many hours: none at first, after half of them three in five, then all.
    """
    payout = begin(books, replace(terms, automatic=True, description="STRIPE PAYOUT"))
    now = books.now
    books.pay_out(lambda rows: rows.take(payout.id, terms.currency, now, but))
    if lines_in_hours:
        books.set_timer(payout.id, SHOW_SOME, now + lines_in_hours * _HOUR // 2)
        books.set_timer(payout.id, SHOW_ALL, now + lines_in_hours * _HOUR)
    else:
        _show_all(books, payout)
    return payout


def show_some(books: Books, payout_id: str) -> None:
    """The timer of lines of which not all are known yet."""
    books.pay_out(lambda rows: rows.show(payout_id, _SOME))


def show_all(books: Books, payout_id: str) -> None:
    """The timer of lines that are complete."""
    payout = books.find("payout", payout_id)
    assert payout is not None, "a payout is never deleted"
    _show_all(books, payout)


def _show_all(books: Books, payout: Record) -> None:
    books.pay_out(lambda rows: rows.show(payout.id))
    complete(books, payout)
