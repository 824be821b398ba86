"""What is read and written of settlements: records, lines by the page, and our side of them."""
