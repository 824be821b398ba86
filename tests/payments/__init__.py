"""Payments from end to end, with the provider's own books as the judge.

Where the reliability scenarios of this kind are tested (file::test; folders are under tests/):

F01 killed at every await: races/test_kill_every_step.py::test_killed_at_every_step
F02 reply lost after the commit: payments/test_scenarios.py::test_f02_a_reply_that_was_lost,
    api/payments/test_payments.py::test_a_lost_reply_is_unknown_until_the_event_tells
F03 5xx after the commit: payments/test_scenarios.py::test_f03_an_error_after_the_charge
F04 5xx and nothing done: payments/test_scenarios.py::test_f04_an_error_and_nothing_was_done
F09 day-3 retry: payments/test_interleavings.py::test_f09_three_days_of_not_knowing,
    flows/payments/sweeps/test_resolve_attempts.py::test_a_provider_that_is_silent_leaves_it_open_and_alerts
F11 event before the reply: payments/test_scenarios.py::test_f11_the_event_comes_before_the_reply,
    flows/payments/test_confirm.py::test_an_event_that_comes_before_the_answer_concludes_once
F12 storm of events: payments/test_event_storm.py (STORM_PAYMENTS=2800 for 10,000 events)
F13 stale and early events: payments/test_events_late.py::test_f13_*,
    flows/provider_events/test_kinds_of_events.py
F14 poison events, F15 the provider away for longer than all tries:
    payments/test_events_late.py::test_f14_and_f15_what_cannot_be_applied_is_given_up_and_heals,
    flows/provider_events/test_replay_dead_letters.py
F16 no webhook at all, with the list of events and without:
    payments/test_reconciled.py::test_without_any_webhook_all_that_was_paid_is_found
F22 many refunds on one payment: races/test_refund_races.py, payments/test_refund_interleavings.py,
    flows/refunds/test_refund.py::test_a_hundred_at_once_never_exceed_what_was_taken
F23 cancel, expiry and a payer's return race: payments/test_interleavings.py::test_f23_*,
    payments/test_scenarios.py::test_f23_*,
    flows/payments/test_holds.py::test_a_hold_after_the_end_is_*
F26 reconcilers at once, killed in a page, events at the edge:
    payments/test_reconciled.py::test_f26_two_at_once_and_one_killed_in_the_middle_of_a_page,
    flows/reconciliation/test_windows.py, flows/reconciliation/test_rounds.py
F30 bounds of amounts: payments/test_amounts.py, payments/test_refund_amounts.py,
    providers/test_stripe_money.py

All of F02, F03 and F04 also at fifty payments at once, with every other fault of the sandbox:
payments/test_faults.py::test_payments_under_a_fault; and at fifty refunds:
payments/test_refund_faults.py::test_fifty_refunds_under_a_fault.
"""
