"""What an item is where the file says nothing but its text: words, or what an encoder makes of it."""
