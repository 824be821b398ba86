"""What a settlement posts in the ledger: fees, conversions, what the provider holds back or takes
by itself, and the payout, one transfer for each merchant, kind and category. Pure.

What a settlement must have posted follows from its lines as they stand. What it has posted already
is taken off, so that a run that is repeated posts nothing, and one that knows more - a line that a
person matched, a report that was mended - posts the difference.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from paygate.domain.account_transfer import AccountTransfer, AccountTransferKind
from paygate.domain.ledger import Account, Entry
from paygate.domain.money import Currency
from paygate.domain.settlements.close import may_post
from paygate.domain.settlements.line import FACT_OF, FactKind, MatchState
from paygate.domain.settlements.outcome import LineCategory
from paygate.domain.settlements.settlement import Settlement, Total
from paygate.domain.settlements.totals import Sums

_A, _C, _K = Account, LineCategory, AccountTransferKind
_OF_THE_PROVIDER: Final[Mapping[LineCategory, tuple[AccountTransferKind, Account]]] = (
    MappingProxyType(
        {
            _C.FEE: (_K.FEES, _A.FEES),
            _C.TAX: (_K.TAX, _A.TAXES),
            _C.RESERVE: (_K.RESERVE, _A.RESERVES),
            _C.ADVANCE: (_K.ADVANCE, _A.ADVANCES),
            _C.TOPUP: (_K.TOPUP, _A.BANK),
            _C.TRANSFER: (_K.TRANSFER, _A.TRANSFERS),
            _C.CONVERSION: (_K.CONVERSION, _A.FX),
            _C.ADJUSTMENT: (_K.ADJUSTMENT, _A.ADJUSTMENTS),
            _C.PAYOUT_FAILURE: (_K.PAYOUT_FAILURE, _A.BANK),
        }
    )
)
"""What the provider's own lines move, by their category."""
_PAYOUT: Final = "payout"
_RESIDUAL: Final = "residual"
"""What stands as category where a transfer sums no one category."""


class _Key(NamedTuple):
    """What one transfer of a settlement posts."""

    merchant: str
    kind: AccountTransferKind
    category: str


_Side = tuple[Account, Currency]
_Moves = dict[_Key, Counter[_Side]]


def postings(
    settlement: Settlement,
    sums: Sums,
    posted: Iterable[AccountTransfer],
    at: datetime,
    id_of: Callable[[str], str],
    *,
    closes: bool = False,
) -> list[AccountTransfer]:
    """The transfers that are still to be posted for a settlement, in an order that is always the
    same. `sums` are its lines' with what people decided of them, `posted` all its transfers so far;
    `id_of` makes a transfer's id of a text that no other has.

    While a report's lines may not be posted (`may_post`), none are: what was is reversed.

    When it `closes`, its lines that nobody found anything for are posted as unexplained.
    """
    wanted = _wanted(settlement, sums, closes=closes) if may_post(settlement, sums) else {}
    numbers = Counter[_Key]()
    for transfer in posted:
        key = _Key(transfer.merchant, transfer.kind, transfer.category)
        numbers[key] += 1
        moves = wanted.setdefault(key, Counter())
        for entry in transfer.entries:
            moves[entry.account, transfer.currency_of(entry)] -= entry.amount
    made = []
    for key, moves in sorted(wanted.items()):
        entries = tuple(
            Entry(account, amount, currency)
            for (account, currency), amount in sorted(moves.items())
            if amount
        )
        if entries:
            name = ":".join((settlement.id, *key, str(numbers[key] + 1)))
            made.append(
                AccountTransfer(
                    id=id_of(name),
                    merchant=key.merchant,
                    kind=key.kind,
                    category=key.category,
                    entries=entries,
                    posted_at=at,
                    settlement=settlement.id,
                )
            )
    return made


def _wanted(settlement: Settlement, sums: Sums, *, closes: bool) -> _Moves:
    """All that the settlement has to have posted."""
    moves: _Moves = defaultdict(Counter)
    nets: Counter[tuple[str, Currency]] = Counter()
    for total in sums.totals:
        if total.category is _C.PAYOUT:
            _post_cost(moves, total)
            continue  # the payout itself is posted by what its lines come to
        nets[total.merchant, Currency(total.currency)] += total.net
        _post_total(moves, total, settlement.merchant, closes=closes)
    for (merchant, currency), net in nets.items():
        _move(moves[_Key(merchant, _K.PAYOUT, _PAYOUT)], _A.BANK, net, currency)
    if settlement.amount is not None:
        currency = Currency(settlement.currency)
        residual = sums.residual(settlement.amount, currency)
        itemised = settlement.payout is None or settlement.payout.itemised
        kind, side = (_K.UNEXPLAINED, _A.UNEXPLAINED) if itemised else (_K.PAYOUT, _A.PROVIDER)
        moved = moves[_Key(settlement.merchant, kind, _RESIDUAL)]
        moved[_A.BANK, currency] += residual
        moved[side, currency] -= residual
    return dict(moves)


def _post_total(moves: _Moves, total: Total, account: str, *, closes: bool) -> None:
    """What lines of one merchant and category move besides the payout. What stands behind a matched
    line has posted its principal itself.
    """
    merchant, category, currency = total.merchant, total.category, Currency(total.currency)
    if total.state is MatchState.FOREIGN:
        foreign = moves[_Key(account, _K.FOREIGN, category)]
        _move(foreign, _A.FOREIGN, -total.net, currency)
    elif category is _C.OTHER_PAYOUT:
        _post_cost(moves, total)  # it went to the bank by its own settlement
    elif total.state is MatchState.PROVIDER_ONLY:
        kind, side = _OF_THE_PROVIDER[category]
        own = moves[_Key(merchant, kind, category)]
        _move(own, side, -total.gross, currency)
        _move(own, _A.FEES, total.fee, currency)
    elif total.state is MatchState.MATCHED:
        _post_matched(moves, total)
    elif category is _C.UNKNOWN or closes:
        unexplained = moves[_Key(merchant, _K.UNEXPLAINED, category)]
        _move(unexplained, _A.UNEXPLAINED, -total.net, currency)


def _post_cost(moves: _Moves, total: Total) -> None:
    """What a payout cost, where its own row says it: at once, for one."""
    fees = moves[_Key(total.merchant, _K.FEES, total.category)]
    _move(fees, _A.FEES, total.fee, Currency(total.currency))


def _post_matched(moves: _Moves, total: Total) -> None:
    """The fees, and what was converted. A dispute has booked all of its rows itself."""
    if FACT_OF.get(total.category) not in (FactKind.PAYMENT, FactKind.REFUND):
        return
    merchant, category, currency = total.merchant, total.category, Currency(total.currency)
    _move(moves[_Key(merchant, _K.FEES, category)], _A.FEES, total.fee, currency)
    converted = moves[_Key(merchant, _K.CONVERSION, category)]
    for part in total.conversions:
        _move(converted, _A.FX, part.customer_amount, Currency(part.currency))
        _move(converted, _A.FX, -part.gross, currency)


def _move(moves: Counter[_Side], account: Account, amount: int, currency: Currency) -> None:
    """Debit an account, and credit what the provider owes."""
    moves[account, currency] += amount
    moves[_A.PROVIDER, currency] -= amount
