"""What commands print of texts that others wrote does nothing to the terminal."""

import pytest

from paygate.cli.command import plain, print_table

HOSTILE = "hat\x1b[2K\x1b[1A\rsucceeded\x9b31m\u202emoc"


def test_a_text_moves_no_cursor_and_turns_nothing_round() -> None:
    shown = plain(f"{HOSTILE}\nstatus   refunded", indent=4)
    assert shown == ("hat\\x1b[2K\\x1b[1A\\rsucceeded\\x9b31m\\u202emoc\n    status   refunded")
    assert plain("Zoë 帽子\tx") == "Zoë 帽子\tx"


def test_nor_does_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "what"), [("pi_1", HOSTILE), ("pi_2", None)])
    printed = capsys.readouterr().out
    assert not set("\x1b\r\x9b\u202e") & set(printed)
    assert "succeeded" in printed
