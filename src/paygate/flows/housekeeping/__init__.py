"""What grows for ever: what is deleted after a while, and the months that it is put into."""
