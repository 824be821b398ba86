"""Card numbers and IBANs, found in whatever text they hide in."""
