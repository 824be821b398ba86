"""Tests of the crypto floor; a package, so that file names may repeat on other floors."""
