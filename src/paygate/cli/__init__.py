"""The front door: `paygate`. Commands parse, call and print; they decide nothing."""
